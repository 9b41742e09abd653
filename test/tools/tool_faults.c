/* The tools with too little memory: each allocation of theirs fails in turn, in a process of its own,
 * of the tool as users run it (its main is tool_main here). It ends with status 1 and says why, or
 * does what it does with all memory. */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "nth.h"
#include "testing.h"

int tool_main(int argc, char **argv);

enum { WORDS_MAX = 16, PATIENCE_S = 60 };

static const char table[] =
    "#herd-places\t1\n#name\tTest\n#attribution\tTest\n#licence\tCC0-1.0\n#version\t1\n"
    "#columns\tplace_id\tname\tlatitude\tlongitude\ttypes\tkind\tcountry\tpopulation\textent_m\t"
    "vicinity\n"
    "gn:1\tWestwood\t34.05612\t-118.43063\tsublocality,political\tPPLX\tUS\t2019\t500\tLos "
    "Angeles\n"
    "ap:2\tHeli\t34\t-118.5\tairport\theliport\tUS\t\t150\tLos Angeles\n";

static const char features[] =
    "{\"type\":\"Feature\",\"id\":\"n1\",\"geometry\":{\"type\":\"Point\",\"coordinates\":[-118.4,"
    "34]},"
    "\"properties\":{\"name\":\"Cafe\",\"amenity\":\"cafe\"}}\n"
    "{\"type\":\"Feature\",\"id\":\"w2\",\"geometry\":{\"type\":\"Polygon\",\"coordinates\":"
    "[[[-118.4,34],[-118.3,34],[-118.3,34.1],[-118.4,34]]]},"
    "\"properties\":{\"name\":\"Park\",\"leisure\":\"park\"}}\n";

static const char geonames[] =
    "2643743\tLondon\tLondon\tLondres,Londyn\t51.50853\t-0.12574\tP\tPPLC\tGB\t\tENG\t\t\t\t"
    "8961989\t\t25\tEurope/London\t2022-03-09\n"
    "2960\t\xe2\x80\x98\xc4\x80yn\t\t\t35.0\t36.0\tT\tHLL\tSY\t\t\t\t\t\t0\t\t\t\t2020-01-01\n";

/* What is run; words in capitals stand for files and addresses. */
static const struct play {
    const char *tool;
    const char *words[WORDS_MAX];
} plays[] = {
    {"herdctl", {"iamat", "--config", "CONF", "Hill", "c1", "+34.068930-118.445127", "5"}},
    {"herdctl",
     {"iamat", "--json", "--config", "CONF", "Hill", "c1", "+34.068930-118.445127", "5"}},
    {"herdctl", {"whatsat", "--config", "CONF", "Hill", "c1", "10", "2", "--after", "4"}},
    {"herdctl", {"whatsat", "--json", "--config", "CONF", "Hill", "c1", "10", "2"}},
    {"herdctl", {"status", "--config", "CONF"}},
    {"herdctl", {"status", "--json", "--config", "CONF"}},
    {"herd-places", {"build", "--out", "MADE", "TABLE"}},
    {"herd-places", {"import", "--out", "MADE", "FEATURES"}},
    {"herd-places", {"import", "--out", "MADE", "GEONAMES"}},
    {"herd-places", {"near", "--file", "PLACES", "34.07,-118.44", "10"}},
    {"herd-places", {"near", "--json", "--file", "PLACES", "34.07,-118.44", "10", "2"}},
    {"herd-places", {"info", "--file", "PLACES"}},
    {"herd-bench", {"-c", "2", "-p", "2", "-n", "4", "-q", "20", "ADDRESS"}},
    {"herd-bench", {"-c", "2", "-n", "4", "-q", "20", "--whatsat", "0.5", "--json", "ADDRESS"}},
    {"herd-bench",
     {"-c", "1", "-n", "2", "-q", "6", "--whatsat", "0.5", "--places", "PLACES", "ADDRESS"}},
    {"herd-bench", {"--crowd", "slow", "-c", "2", "-d", "0.001", "ADDRESS"}},
};

struct fixture {
    char *folder, *conf, *table, *features, *geonames, *places, *made;
    int out, err;  /* what the tool says, in memory: files would cost most of the time */
    bool made_old; /* what is at `made` is what it was before there was a tool */
    char address[32];
    int port_fd;
    struct sockaddr_in listen;
    pid_t server; /* 0: the tool needs none */
    unsigned nth;
    const struct play *play;
};

/* What one run has left behind. */
struct ending {
    int status;      /* of wait */
    bool has_failed; /* an allocation */
    char *out, *err, *made;
    size_t files;
};

static void free_ending(struct ending *ending)
{
    free(ending->out);
    free(ending->err);
    free(ending->made);
}

/* ---- Runs ----------------------------------------------------------------------------------- */

static const char *word_of(const struct fixture *fixture, const char *word)
{
    const struct {
        const char *name, *value;
    } names[] = {{"CONF", fixture->conf},         {"TABLE", fixture->table},
                 {"FEATURES", fixture->features}, {"GEONAMES", fixture->geonames},
                 {"PLACES", fixture->places},     {"MADE", fixture->made},
                 {"ADDRESS", fixture->address}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i].name, word) == 0)
            return names[i].value;
    }
    return word;
}

static void redirect(int fd, const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || dup2(file, fd) < 0)
        _exit(3);
    close(file);
}

static int open_memory(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* What was written since it was emptied; free with free(). */
static char *read_memory(int fd)
{
    struct stat status;
    assert_int_equal(fstat(fd, &status), 0);
    char *text = calloc(1, (size_t)status.st_size + 1);
    assert_non_null(text);
    assert_int_equal(pread(fd, text, (size_t)status.st_size, 0), status.st_size);
    return text;
}

static void empty_memory(int fd)
{
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
}

static void run_tool(const struct fixture *fixture)
{
    char *argv[WORDS_MAX + 2] = {strdup(TOOL)}, *kept[WORDS_MAX + 2];
    int argc = 1;
    for (; fixture->play->words[argc - 1] != NULL; argc++)
        argv[argc] = strdup(word_of(fixture, fixture->play->words[argc - 1]));
    memcpy(kept, argv, sizeof(argv)); /* the tool may move them */
    if (dup2(fixture->out, STDOUT_FILENO) < 0 || dup2(fixture->err, STDERR_FILENO) < 0)
        _exit(3);
    json_set_alloc_funcs(malloc, free); /* these fail; jansson's own would not */
    nth_arm(NTH_ALLOCATION, fixture->nth);
    int status = tool_main(argc, argv);
    for (int i = 0; i < argc; i++)
        free(kept[i]);
    exit(status);
}

static size_t count_files(const char *folder)
{
    DIR *dir = opendir(folder);
    size_t count = 0;
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* The bytes of an exponent: 9e-05, of a time so short that it is written like this. */
static size_t exponent_at(const char *text, const char *at)
{
    if (*at != 'e' || at == text || !isdigit((unsigned char)at[-1]) ||
        (at[1] != '-' && at[1] != '+'))
        return 0;
    size_t digits = strspn(at + 2, "0123456789");
    return digits > 0 ? 2 + digits : 0;
}

/* The same words without numbers and widths of columns: times and processes are another's each time. */
static char *without_numbers(char *take_text)
{
    char *text = strdup(take_text), *to = take_text;
    assert_non_null(text);
    for (const char *from = text; *from != '\0'; from++) {
        char byte = *from;
        size_t exponent = exponent_at(text, from);
        if (exponent > 0) {
            from += exponent - 1;
            continue;
        }
        if (byte >= '0' && byte <= '9')
            byte = '#';
        bool is_run = byte == '#' || byte == ' ' || byte == '.' || byte == '-';
        if (is_run && to > take_text && (to[-1] == byte || (byte == '.' && to[-1] == '#')))
            continue;
        *to++ = byte;
    }
    *to = '\0';
    free(text);
    return take_text;
}

static struct ending run(struct fixture *fixture, unsigned nth)
{
    struct ending ending = {0};
    fixture->nth = nth;
    nth_arm(NTH_ALLOCATION, 0); /* it is shared from here on */
    if (!fixture->made_old)
        testing_write_file(fixture->made, "old", 3);
    empty_memory(fixture->out);
    empty_memory(fixture->err);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run_tool(fixture);
    assert_int_equal(waitpid(pid, &ending.status, 0), pid);
    ending.has_failed = nth_has_failed();
    nth_arm(NTH_ALLOCATION, 0);
    ending.out = without_numbers(read_memory(fixture->out));
    ending.err = read_memory(fixture->err);
    ending.made = testing_read_file(fixture->made);
    fixture->made_old = strcmp(ending.made, "old") == 0;
    ending.files = count_files(fixture->folder);
    return ending;
}

/* ---- How it ended --------------------------------------------------------------------------- */

static void complain(const struct fixture *fixture, const struct ending *ending, const char *what)
{
    fail_msg("%s %s, allocation %u: %s\nstatus %x\nstdout: %s\nstderr: %s", TOOL,
             fixture->play->words[0], fixture->nth, what, (unsigned)ending->status, ending->out,
             ending->err);
}

/* A line that ends with a reason. */
static bool says_why(const char *err)
{
    size_t len = strlen(err);
    return len > 2 && err[len - 1] == '\n' && err[len - 2] != ' ' && err[len - 2] != ':';
}

static void check(const struct fixture *fixture, const struct ending *ending,
                  const struct ending *right)
{
    int status = WIFEXITED(ending->status) ? WEXITSTATUS(ending->status) : -1;
    if (ending->files != right->files)
        complain(fixture, ending, "something is left behind");
    if (status == 0 && (strcmp(ending->out, right->out) != 0 || ending->err[0] != '\0'))
        complain(fixture, ending, "it is not what it is with all memory");
    if (status == 0 && strlen(ending->made) != strlen(right->made))
        complain(fixture, ending, "the file is not what it is with all memory");
    if (status != 0 && strcmp(ending->made, "old") != 0)
        complain(fixture, ending, "the old file is not there");
    if (status == 1 && !says_why(ending->err))
        complain(fixture, ending, "it does not say why");
    if (status != 0 && status != 1)
        complain(fixture, ending, "it has not ended as it should");
}

static void fail_each(struct fixture *fixture)
{
    struct ending right = run(fixture, 0);
    unsigned refused = 0;
    if (right.status != 0 || right.err[0] != '\0')
        complain(fixture, &right, "it does not work at all");
    bool has_failed = true;
    while (has_failed) {
        struct ending ending = run(fixture, fixture->nth + 1);
        has_failed = ending.has_failed;
        refused += ending.status != 0;
        check(fixture, &ending, &right);
        free_ending(&ending);
    }
    print_message("%s %s: %u failed, %u refused\n", TOOL, fixture->play->words[0], fixture->nth - 1,
                  refused);
    assert_true(refused > 0);
    free_ending(&right);
}

static void test_numbers_are_no_words(void **state)
{
    static const char *const texts[] = {"p50 0.123 ms\n", "p50 9e-05  ms\n", "p50 1.5e-05 ms\n"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        char *text = without_numbers(strdup(texts[i]));
        assert_string_equal(text, "p# # ms\n");
        free(text);
    }
}

static void test_each_allocation_fails_once(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
        fixture->play = &plays[i];
        if (strcmp(fixture->play->tool, TOOL) == 0)
            fail_each(fixture);
    }
}

/* ---- What the tools need -------------------------------------------------------------------- */

static void choose_address(struct fixture *fixture)
{
    uint16_t port;
    fixture->port_fd = testing_reserve_port(&port);
    fixture->listen = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    fixture->listen.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    snprintf(fixture->address, sizeof(fixture->address), "127.0.0.1:%d", port);
}

static void write_files(struct fixture *fixture)
{
    choose_address(fixture);
    struct herd_buf conf = {0};
    herd_buf_printf(
        &conf,
        "security = \"open\"\ndata_dir = \"data\"\nplaces { data_file = \"places.db\" }\n"
        "server Hill { listen = \"%s\" peers = {} }\n",
        fixture->address);
    testing_write_file(fixture->conf, conf.data, conf.len);
    herd_buf_free(&conf);
    testing_write_file(fixture->table, table, strlen(table));
    testing_write_file(fixture->features, features, strlen(features));
    testing_write_file(fixture->geonames, geonames, strlen(geonames));
}

static void execute(const char *const words[])
{
    pid_t pid = fork();
    int status = -1;
    assert_true(pid >= 0);
    if (pid == 0) {
        redirect(STDOUT_FILENO, "/dev/null");
        execv(words[0], (char *const *)(uintptr_t)words);
        _exit(3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static bool is_served(const struct fixture *fixture)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = connect(fd, (const struct sockaddr *)&fixture->listen, sizeof(fixture->listen));
    close(fd);
    if (rc < 0)
        nanosleep(&pause, NULL);
    return rc == 0;
}

/* Its log goes elsewhere than what the tools say: it may be written later than that. */
static void start_server(struct fixture *fixture)
{
    char *log = testing_path(fixture->folder, "log");
    fixture->server = fork();
    assert_true(fixture->server >= 0);
    if (fixture->server == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0) {
        redirect(STDERR_FILENO, log);
        execl(HERD_SERVER, HERD_SERVER, "--config", fixture->conf, "Hill", (char *)NULL);
        _exit(3);
    }
    free(log);
    time_t end = time(NULL) + PATIENCE_S;
    while (!is_served(fixture))
        assert_true(time(NULL) < end);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    fixture->folder = testing_make_folder();
    fixture->conf = testing_path(fixture->folder, "herd.conf");
    fixture->table = testing_path(fixture->folder, "table.tsv");
    fixture->features = testing_path(fixture->folder, "features.json");
    fixture->geonames = testing_path(fixture->folder, "geonames.txt");
    fixture->places = testing_path(fixture->folder, "places.db");
    fixture->made = testing_path(fixture->folder, "made.db");
    fixture->out = open_memory("out");
    fixture->err = open_memory("err");
    write_files(fixture);
    const char *const words[] = {HERD_PLACES,     "build",        "--out",
                                 fixture->places, fixture->table, NULL};
    execute(words);
    if (strcmp(TOOL, "herd-places") != 0)
        start_server(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    if (fixture->server > 0) {
        int status = -1;
        kill(fixture->server, SIGTERM);
        assert_int_equal(waitpid(fixture->server, &status, 0), fixture->server);
        assert_int_equal(status, 0);
    }
    testing_remove_folder(fixture->folder);
    free(fixture->conf);
    free(fixture->table);
    free(fixture->features);
    free(fixture->geonames);
    free(fixture->places);
    free(fixture->made);
    close(fixture->out);
    close(fixture->err);
    close(fixture->port_fd);
    free(fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_no_words),
        cmocka_unit_test_setup_teardown(test_each_allocation_fails_once, setup, teardown),
    };
    return cmocka_run_group_tests_name(TOOL, tests, NULL, NULL);
}
