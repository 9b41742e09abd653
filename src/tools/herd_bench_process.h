/* herd_bench_process.h: what a process on this machine has used. */
#ifndef TOOLS_HERD_BENCH_PROCESS_H
#define TOOLS_HERD_BENCH_PROCESS_H

#include <stdint.h>

/* CPU time of all threads of `pid` so far, in user and kernel mode (clock_getcpuclockid(3)); 0 with
 * *out_ns, or HERD_ENOTFOUND where there is no such process, or it may not be looked at. */
int process_cpu_ns(int pid, int64_t *out_ns);

/* Memory of `pid` that is resident now (VmRSS), in KiB; 0 where it cannot be told. */
int64_t process_rss_kib(int pid);

/* Keeps this process on one processor. 0, or HERD_EINVAL where there is no such processor. */
int process_pin(unsigned cpu);

/* Lets this process open as many files as it may; who needs more hears of it when one is opened. */
void process_raise_files(void);

#endif
