#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "standin.h"
#include "testing.h"

static void spawn(struct standin *standin, char *const *argv, int input, int output)
{
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO), 0);
    assert_int_equal(posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO), 0);
    assert_int_equal(posix_spawn(&standin->pid, argv[0], &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
}

static void read_ports(struct standin *standin, int output, bool has_tls)
{
    char line[32] = "", *end = line;
    FILE *file = fdopen(output, "r");
    assert_non_null(file);
    if (fgets(line, sizeof line, file) == NULL)
        fail_msg("the stand-in did not start");
    fclose(file);
    standin->port = (uint16_t)strtoul(line, &end, 10);
    standin->control_port = (uint16_t)strtoul(end, NULL, 10);
    assert_true(standin->port > 0 && standin->control_port > 0);
    snprintf(standin->origin, sizeof standin->origin, "http%s://127.0.0.1:%u", has_tls ? "s" : "",
             standin->port);
}

void standin_start(struct standin *standin, const char *tls_folder, const char *san)
{
    const char *const words[] = {PYTHON,
                                 "-B",
                                 PLACES_STANDIN,
                                 "--until-stdin-closes",
                                 "--key",
                                 STANDIN_KEY,
                                 tls_folder != NULL ? "--tls" : NULL,
                                 tls_folder,
                                 "--san",
                                 san,
                                 NULL};
    char *argv[sizeof words / sizeof words[0]];
    int input[2], output[2];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        argv[i] = words[i] != NULL ? strdup(words[i]) : NULL;
    assert_int_equal(pipe2(input, O_CLOEXEC), 0);
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    spawn(standin, argv, input[0], output[1]);
    close(input[0]);
    close(output[1]);
    standin->input = input[1];
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        free(argv[i]);
    read_ports(standin, output[0], tls_folder != NULL);
}

void standin_stop(struct standin *standin)
{
    int status = 0;
    close(standin->input);
    while (waitpid(standin->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    return herd_buf_append(arg, data, size * count) == 0 ? size * count : 0;
}

/* POST with a body, GET without. Free with json_decref. */
static json_t *control(const struct standin *standin, const char *path, const char *body)
{
    char url[100];
    long status = 0;
    struct herd_buf answer = {0};
    snprintf(url, sizeof url, "http://127.0.0.1:%u%s", standin->control_port, path);
    CURL *easy = curl_easy_init();
    assert_non_null(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    if (body != NULL)
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
    CURLcode code = curl_easy_perform(easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    if (code != CURLE_OK || status != 200)
        fail_msg("%s %s: %s, HTTP %ld", path, body != NULL ? body : "", curl_easy_strerror(code),
                 status);
    json_t *root = json_loadb(answer.data, answer.len, 0, NULL);
    assert_non_null(root);
    herd_buf_free(&answer);
    return root;
}

void standin_behave_at_radius(const struct standin *standin, const char *behaviour, int radius_m,
                              const char *behaviour_there)
{
    char orders[200];
    snprintf(orders, sizeof orders, "{\"behaviour\": \"%s\", \"by_radius\": {\"%d\": \"%s\"}}",
             behaviour, radius_m, behaviour_there);
    json_decref(control(standin, "/_reset", ""));
    json_decref(control(standin, "/_control", orders));
}

void standin_behave(const struct standin *standin, const char *behaviour)
{
    standin_behave_at_radius(standin, behaviour, -1, behaviour);
}

struct json_t *standin_stats(const struct standin *standin)
{
    return control(standin, "/_stats", NULL);
}

int64_t standin_count(const struct standin *standin, const char *name)
{
    json_t *stats = standin_stats(standin);
    assert_true(json_is_integer(json_object_get(stats, name)));
    int64_t count = json_integer_value(json_object_get(stats, name));
    json_decref(stats);
    return count;
}

void assert_standin_content(const struct standin *standin)
{
    json_t *stats = standin_stats(standin);
    const json_t *complaints = json_object_get(stats, "complaints");
    assert_true(json_is_array(complaints));
    if (json_array_size(complaints) > 0)
        fail_msg("%s", json_string_value(json_array_get(complaints, 0)));
    json_decref(stats);
}

char *standin_key_file(const char *folder)
{
    char *path = testing_path(folder, "places.key");
    testing_write_file(path, STANDIN_KEY "\n", sizeof STANDIN_KEY);
    assert_int_equal(chmod(path, 0600), 0);
    return path;
}

size_t testing_count_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    assert_non_null(folder);
    size_t count = 0;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}
