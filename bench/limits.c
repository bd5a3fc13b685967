/* limits.c: what one thread of this machine can do at most. bench/limits.py compiles it for the active instruction set
 * and each real; it is no part of the library. */
#include "isa/target.h"
#include "simd.h"

enum { CHAINS = 12 };               /* enough that none waits for itself: two units, five steps deep */

size_t multiply_adds_of_a_step(void) { return (size_t)CHAINS * (size_t)LANES; }

/* The chains converge to 1, so that no step meets an infinity or a denormal. */
double multiply_adds(size_t steps)
{
    V chain[CHAINS], half = C(0.5), total = C(0);
    UNROLLED for (int i = 0; i < CHAINS; i++) chain[i] = C(i);
    for (; steps; steps--) UNROLLED for (int i = 0; i < CHAINS; i++) chain[i] = fma_(chain[i], half, half);
    UNROLLED for (int i = 0; i < CHAINS; i++) total = total + chain[i];
    return (double)lane(total, 0);
}

/* Whole vectors, four at a time; the arrays are aligned to 64 bytes. Streaming stores go past the caches. */
void copy(size_t count, const real *from, real *to, int streaming, size_t times)
{
    size_t whole = count / (4 * (size_t)LANES) * (4 * (size_t)LANES), step = 4 * (size_t)LANES;
    while (times--) {
        if (streaming) for (size_t i = 0; i < whole; i += step)
            UNROLLED for (int v = 0; v < 4; v++) stream(to + i + v * LANES, load(from + i + v * LANES));
        else for (size_t i = 0; i < whole; i += step)
            UNROLLED for (int v = 0; v < 4; v++) store(to + i + v * LANES, load(from + i + v * LANES));
        stream_end();
    }
}
