/* pool.c: the pool of threads under load, for the sanitizers. Three callers at once, jobs of all sizes, nested calls, a
 * count that changes while others work, pauses in which the workers fall asleep. Prints ok. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "pyscratch.h"
#include "threads.h"

enum { CALLERS = 3, JOBS = 600, MOST = 100 };

typedef struct { size_t done[MOST]; unsigned length; } Job;

static void expect(int truth)
{
    if (!truth) abort();
}

static void nested(void *context, size_t index) { ((size_t *)context)[index] += index; }

static void task(void *context, size_t index)
{
    Job *job = context;
    volatile double sum = 0;
    for (unsigned i = 0; i < job->length; i++) sum = sum + i;
    job->done[index] += index + 1;
    if (index == 3) {
        size_t inner[8] = {0};
        parallel(8, nested, inner);
        expect(inner[7] == 7);
    }
}

static void *call(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    for (int i = 0; i < JOBS; i++) {
        Job job = {.length = (unsigned)rand_r(&seed) % 300};
        size_t tasks = (size_t)rand_r(&seed) % (MOST + 1);
        if (seed % 50 == 0) ps_use_threads(1 + rand_r(&seed) % 8);
        if (i % 200 == 0) usleep(3000);
        parallel(tasks, task, &job);
        for (size_t t = 0; t < MOST; t++) expect(job.done[t] == (t < tasks ? t + 1 : 0));
    }
    return NULL;
}

int main(void)
{
    pthread_t callers[CALLERS];
    expect(ps_threads() >= 1 && ps_use_threads(-1) != PS_OK);
    expect(ps_use_threads(4) == PS_OK && ps_threads() == 4);
    for (uintptr_t i = 0; i < CALLERS; i++) expect(!pthread_create(&callers[i], NULL, call, (void *)(i + 1)));
    for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
    puts("ok");
    return 0;
}
