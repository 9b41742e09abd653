/* standin.h: the stand-in for Google's places APIs (places_standin.py), as a C test uses it. */
#ifndef STANDIN_H
#define STANDIN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct json_t;

struct standin {
    pid_t pid;
    int input; /* it ends when this closes, so also when the test crashes */
    uint16_t port, control_port;
    char origin[64]; /* http://127.0.0.1:port, or https */
};

#define STANDIN_KEY "AIzaSyStandIn-0123456789_abcdefghijklmno"

/* Starts one and waits until it listens; fails the test when it does not. `tls_folder`: NULL for
 * plain HTTP, else where its certificate cert.pem is made, for `san` (IP:127.0.0.1, DNS:name). */
void standin_start(struct standin *standin, const char *tls_folder, const char *san);
void standin_stop(struct standin *standin);

/* Orders, as places_standin.py has them; the first forgets everything before. */
void standin_behave(const struct standin *standin, const char *behaviour);
void standin_behave_at_radius(const struct standin *standin, const char *behaviour, int radius_m,
                              const char *behaviour_there);

/* What it has seen; free with json_decref. */
struct json_t *standin_stats(const struct standin *standin);

/* A number of standin_stats: "requests", "connections", "open_max". */
int64_t standin_count(const struct standin *standin, const char *name);

/* Fails the test when it has complained about a request, saying what it said. */
void assert_standin_content(const struct standin *standin);

/* A file with STANDIN_KEY in `folder`; free with free(). */
char *standin_key_file(const char *folder);

/* File descriptors that this process has open. */
size_t testing_count_fds(void);

#endif
