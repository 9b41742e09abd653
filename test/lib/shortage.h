/* shortage.h: makes allocations of libherd fail, one or all from one on. Linked with
 * --wrap=malloc,calloc,realloc,free. */
#ifndef TEST_SHORTAGE_H
#define TEST_SHORTAGE_H

#include <stdbool.h>
#include <stddef.h>

/* From now on the `nth` allocation fails (1: the next), and with `for_good` all behind it. */
void shortage_begin(size_t nth, bool for_good);
/* Memory is there again. */
void shortage_end(void);
/* For what a test does itself within a call of libherd: nothing fails, until it is put back. Returns
 * whether anything could. */
bool shortage_pause(void);
void shortage_resume(bool on);
/* Allocations still to come before the one that fails; 0: that is over. */
size_t shortage_left(void);
/* Allocations that failed since shortage_begin. */
size_t shortage_failures(void);
/* Allocations that were not freed, since the program began. */
long shortage_live(void);

#endif
