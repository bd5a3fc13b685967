/* threads.c: the pool behind threads.h.
 *
 * One job at a time. A single word, the gate, says which job is open, how many workers it admits and how many are
 * inside; a worker enters by raising the last number while the gate is open, so a worker that wakes late finds the gate
 * closed and nobody waits for it. The caller works too, closes the gate when no task is left and waits until the last
 * worker has gone. A caller that finds the pool busy, another thread's or its own further out, runs its tasks alone.
 *
 * Idle workers spin for some microseconds, then sleep. They block all signals: those belong to the caller's threads.
 * A forked child has no workers; the pool is made new there and starts its own when it is used. There is no handler
 * before the fork, which could wait for a job to end. */
#if defined(__linux__)
#define _GNU_SOURCE                              /* sched_getaffinity, sched_getcpu */
#endif
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "floating.h"
#include "pyscratch.h"
#include "threads.h"

enum { MOST_THREADS = 256, SPINS = 2000, STACK_BYTES = 1 << 20 };

/* The gate: | job number 32 | open 1 | admitted 15 | inside 16 | */
typedef uint64_t Gate;
#define OPEN ((Gate)1 << 31)
static Gate job_of(Gate gate) { return gate >> 32; }
static Gate admitted(Gate gate) { return gate >> 16 & 0x7fff; }
static Gate inside(Gate gate) { return gate & 0xffff; }

static struct {
    atomic_flag busy;
    _Atomic Gate gate;
    size_t tasks;                                /* of the open job; written while nobody is inside */
    void (*task)(void *context, size_t index);
    void *context;
    size_t parts;                                /* of the tasks, one behind the other: see run_tasks */
    atomic_int sleepers, caller_sleeps;          /* who must be woken; changed under the lock */
    pthread_mutex_t lock;
    pthread_cond_t opened, left;
    atomic_int caller_at;                        /* processor of the caller when it opened the job */
    int workers, refused;                        /* started; the system would not start more */
} pool = {.busy = ATOMIC_FLAG_INIT, .lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER,
          .left = PTHREAD_COND_INITIALIZER};
static struct { alignas(64) _Atomic size_t next; } part[MOST_THREADS];   /* task of each part; a cache line each */
static atomic_int chosen;                        /* threads to use; 0 until somebody asks */
static atomic_int spins;

/* ---- how many threads ---- */

static int processor(void)                       /* where this thread runs, if that can be told */
{
#if defined(__linux__)
    return sched_getcpu();
#else
    return -1;
#endif
}

static int processors(void)
{
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)(online < MOST_THREADS ? online : MOST_THREADS) : 1;
}

#if defined(__linux__)
static int read_line(const char *folder, const char *file, char *line, int size)
{
    char path[1200];
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path) return 0;
    FILE *f = fopen(path, "re");
    int got = f && fgets(line, size, f);
    if (f) fclose(f);
    return got;
}

/* Processors that a control group allows, rounded up; 0 without a limit. cpu.max is version 2, cfs_* version 1. */
static int quota_of(const char *folder)
{
    char line[64];
    double quota = 0, period = 0;
    if (read_line(folder, "cpu.max", line, sizeof line)) {
        if (sscanf(line, "%lf %lf", &quota, &period) != 2) return 0;
    } else if (read_line(folder, "cpu.cfs_quota_us", line, sizeof line)) {
        quota = atof(line);
        if (read_line(folder, "cpu.cfs_period_us", line, sizeof line)) period = atof(line);
    }
    if (!(quota > 0) || !(period > 0) || quota / period >= MOST_THREADS) return 0;
    int whole = (int)(quota / period);
    return whole + (quota / period > whole);
}

/* The least quota of a group and all groups around it. */
static int quota_along(const char *root, char *group)
{
    int least = 0;
    for (char *end = group + strlen(group); ; *end = 0) {
        char folder[1100];
        int here = snprintf(folder, sizeof folder, "%s%s", root, group) < (int)sizeof folder ? quota_of(folder) : 0;
        if (here && (!least || here < least)) least = here;
        end = strrchr(group, '/');
        if (!end) return least;
    }
}

static int quota(void)
{
    char line[1000];
    int least = 0;
    FILE *f = fopen("/proc/self/cgroup", "re");
    while (f && fgets(line, sizeof line, f)) {   /* "0::/group" in version 2, "4:cpu,cpuacct:/group" in version 1 */
        char *names = strchr(line, ':'), *group = names ? strchr(names + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        int version1 = strstr(names, "cpu") && !strstr(names, "cpuset");
        if (!version1 && names[1]) continue;
        int here = quota_along(version1 ? "/sys/fs/cgroup/cpu" : "/sys/fs/cgroup", group);
        if (here && (!least || here < least)) least = here;
    }
    if (f) fclose(f);
    return least;
}
#else
static int quota(void) { return 0; }
#endif

static int default_threads(void)
{
    const char *text = getenv("PYSCRATCH_THREADS");
    char *end = NULL;
    long asked = text ? strtol(text, &end, 10) : 0;
    if (text && end != text && !*end && asked >= 1 && asked <= MOST_THREADS) return (int)asked;
    int here = processors(), allowed = quota();
    int count = allowed && allowed < here ? allowed : here;
    return count < MOST_THREADS ? count : MOST_THREADS;
}

int ps_threads(void)
{
    int count = atomic_load_explicit(&chosen, memory_order_relaxed);
    return count ? count : (ps_use_threads(0), atomic_load_explicit(&chosen, memory_order_relaxed));
}

int ps_use_threads(int count)
{
    if (count < 0 || count > MOST_THREADS) return PS_BAD_CALL;
    if (!count) count = default_threads();
    atomic_store(&spins, count <= processors() ? SPINS : 0);     /* more threads than processors: spinning harms */
    atomic_store(&chosen, count);
    return PS_OK;
}

/* ---- workers ---- */

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static size_t part_start(size_t p) { return pool.tasks * p / pool.parts; }

/* First the tasks of one's own part, the same in every job of that size: what they touch is in this processor's caches.
 * Then what others have not begun. */
static void run_tasks(size_t self)
{
    for (size_t k = 0; k < pool.parts; k++) {
        size_t p = (self + k) % pool.parts, end = part_start(p + 1);
        for (size_t i; (i = atomic_fetch_add(&part[p].next, 1)) < end;) pool.task(pool.context, i);
    }
}

static int is_news(Gate gate, Gate seen)
{
    return gate & OPEN && job_of(gate) != seen && inside(gate) < admitted(gate);
}

/* A worker that was woken on its caller's processor waits there for the caller to sleep or to lose its turn, then finds
 * the job done, and so on: the system may take a second to part them. It leaves by a mask without that processor, which
 * is put back at once. */
static void step_aside(void)
{
#if defined(__linux__)
    cpu_set_t all, others;
    int caller_at = atomic_load_explicit(&pool.caller_at, memory_order_relaxed);
    if (!atomic_load_explicit(&spins, memory_order_relaxed) || processor() != caller_at) return;
    if (sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) < 2) return;
    others = all;
    CPU_CLR(caller_at, &others);
    if (sched_setaffinity(0, sizeof others, &others) == 0) sched_setaffinity(0, sizeof all, &all);
#endif
}

/* Returns a gate that was open to this worker when it looked. */
static Gate await_job(Gate seen)
{
    Gate gate;
    for (int i = atomic_load_explicit(&spins, memory_order_relaxed); i > 0; i--) {
        gate = atomic_load_explicit(&pool.gate, memory_order_relaxed);
        if (is_news(gate, seen)) return gate;
        relax();
    }
    pthread_mutex_lock(&pool.lock);
    atomic_fetch_add(&pool.sleepers, 1);         /* before the look at the gate: whoever opens it later wakes us */
    while (!is_news(gate = atomic_load(&pool.gate), seen)) {
        pthread_cond_wait(&pool.opened, &pool.lock);
        step_aside();
    }
    atomic_fetch_sub(&pool.sleepers, 1);
    pthread_mutex_unlock(&pool.lock);
    return gate;
}

static void leave(void)
{
    Gate before = atomic_fetch_sub(&pool.gate, 1);
    if (inside(before) > 1 || before & OPEN || !atomic_load(&pool.caller_sleeps)) return;
    pthread_mutex_lock(&pool.lock);
    pthread_cond_signal(&pool.left);
    pthread_mutex_unlock(&pool.lock);
}

static void *work(void *number)
{
    enter_floating();                            /* a new thread inherits its maker's control word */
    for (Gate seen = 0;;) {
        Gate gate = await_job(seen);
        if (!atomic_compare_exchange_strong(&pool.gate, &gate, gate + 1)) continue;
        seen = job_of(gate);
        step_aside();
        run_tasks((size_t)(uintptr_t)number);
        leave();
    }
    return NULL;
}

/* ---- the pool ---- */

static void renew_in_child(void)
{
    atomic_store(&pool.gate, 0);
    atomic_store(&pool.sleepers, 0);
    atomic_store(&pool.caller_sleeps, 0);
    pool.workers = pool.refused = 0;
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.opened, NULL);
    pthread_cond_init(&pool.left, NULL);
    atomic_flag_clear(&pool.busy);
}

static void start_worker(void)
{
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    if (pthread_attr_init(&attributes)) { pool.refused = 1; return; }
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a thread inherits its maker's mask */
    if (pthread_create(&thread, &attributes, work, (void *)(uintptr_t)(pool.workers + 1))) pool.refused = 1;
    else pool.workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

static void start_workers(int count)
{
    static int registered;                       /* a child inherits the handler */
    if (!registered) registered = pthread_atfork(NULL, NULL, renew_in_child) == 0;
    while (registered && pool.workers < count && !pool.refused) start_worker();
}

static void open_gate(Gate admit)
{
    Gate job = job_of(atomic_load(&pool.gate)) + 1;
    for (size_t p = 0; p < pool.parts; p++) atomic_store_explicit(&part[p].next, part_start(p), memory_order_relaxed);
    atomic_store(&pool.gate, job << 32 | OPEN | admit << 16);
    if (!atomic_load(&pool.sleepers)) return;
    pthread_mutex_lock(&pool.lock);
    for (Gate i = 0; i < admit; i++) pthread_cond_signal(&pool.opened);
    pthread_mutex_unlock(&pool.lock);
}

static void close_gate(void)
{
    Gate gate = atomic_fetch_and(&pool.gate, ~OPEN);
    for (int i = atomic_load_explicit(&spins, memory_order_relaxed); i > 0 && inside(gate); i--) {
        relax();
        gate = atomic_load(&pool.gate);
    }
    if (!inside(gate)) return;
    pthread_mutex_lock(&pool.lock);
    atomic_store(&pool.caller_sleeps, 1);        /* before the look at the gate: whoever leaves later wakes us */
    while (inside(atomic_load(&pool.gate))) pthread_cond_wait(&pool.left, &pool.lock);
    atomic_store(&pool.caller_sleeps, 0);
    pthread_mutex_unlock(&pool.lock);
}

void parallel(size_t tasks, void (*task)(void *context, size_t index), void *context)
{
    int threads = ps_threads();
    if (tasks < 2 || threads < 2 || atomic_flag_test_and_set(&pool.busy)) {
        for (size_t i = 0; i < tasks; i++) task(context, i);
        return;
    }
    size_t helpers = tasks - 1 < (size_t)threads - 1 ? tasks - 1 : (size_t)threads - 1;
    start_workers((int)helpers);
    pool.parts = helpers + 1;
    atomic_store_explicit(&pool.caller_at, processor(), memory_order_relaxed);
    pool.tasks = tasks, pool.task = task, pool.context = context;
    open_gate(helpers);
    run_tasks(0);
    close_gate();
    atomic_flag_clear(&pool.busy);
}
