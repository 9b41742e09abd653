/* patience.h: log_close leaves a thread of the log that is not done after a second to itself. On a
 * busy machine that may be one which has not been let run: who reads what was logged waits for it
 * for as long as it takes. Linked with --wrap of pthread_cond_timedwait, whose time is never over. */
#ifndef TEST_PATIENCE_H
#define TEST_PATIENCE_H

#include <stdbool.h>

/* It is there from the beginning; without it, time goes by as ever. */
void patience_set(bool is_there);

#endif
