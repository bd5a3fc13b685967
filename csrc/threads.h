/* threads.h: split fixed blocks over a small pool, run, join. The split never changes a result: whoever calls decides
 * the blocks from sizes alone and adds partial results in block order. */
#ifndef THREADS_H
#define THREADS_H
#include <stddef.h>

/* Runs task(context, 0) ... task(context, tasks - 1), each once, in any order, on at most ps_threads() threads; returns
 * when all have finished. Serial when the pool is busy or when called from a worker. */
void parallel(size_t tasks, void (*task)(void *context, size_t index), void *context);
#endif
