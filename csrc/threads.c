/* threads.c: the pool behind threads.h. */
#include "pyscratch.h"
#include "threads.h"

void parallel(size_t tasks, void (*task)(void *context, size_t index), void *context)
{
    for (size_t i = 0; i < tasks; i++) task(context, i);
}
int ps_use_threads(int count) { return count < 0 ? PS_BAD_CALL : PS_OK; }
int ps_threads(void) { return 1; }
