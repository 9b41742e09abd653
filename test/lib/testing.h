/* testing.h: what more than one cmocka test needs: assertions on text, folders and files. */
#ifndef TESTING_H
#define TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <herd/buf.h>

/* Fails the test, showing both, unless `part` is somewhere in `text`. */
void assert_contains(const char *text, const char *part);

/* A new, empty folder; free with testing_remove_folder, which removes what is in it as well. */
char *testing_make_folder(void);
void testing_remove_folder(char *take_path);
/* Of a test whose state is such a folder. */
int testing_setup_folder(void **state);
int testing_teardown_folder(void **state);

/* `folder`/`name`; free with free(). */
char *testing_path(const char *folder, const char *name);

/* The whole file as a C string; free with free(). */
char *testing_read_file(const char *path);
void testing_write_file(const char *path, const char *bytes, size_t len);

/* A port of 127.0.0.1 that a server may bind and listen at, again and again, and that the system
 * gives to nobody else until the descriptor that is returned is closed: it is bound as well. */
int testing_reserve_port(uint16_t *out_port);

/* Ends the bytes with NUL and gives them away; free with free(). `buf` is empty afterwards. */
char *testing_take_text(struct herd_buf *buf);

#endif
