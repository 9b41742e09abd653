#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include <herd/err.h>
#include <herd/posix_time.h>

#include "herd_bench_process.h"

int process_cpu_ns(int pid, int64_t *out_ns)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return HERD_ENOTFOUND;
    *out_ns = (int64_t)used.tv_sec * HERD_NS_PER_S + used.tv_nsec;
    return 0;
}

int64_t process_rss_kib(int pid)
{
    char path[32], line[256];
    long long kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof(line), file) != NULL && sscanf(line, "VmRSS: %lld kB", &kib) != 1)
        continue;
    fclose(file);
    return kib;
}

int process_pin(unsigned cpu)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    return cpu < CPU_SETSIZE && sched_setaffinity(0, sizeof(cpus), &cpus) == 0 ? 0 : HERD_EINVAL;
}

void process_raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}
