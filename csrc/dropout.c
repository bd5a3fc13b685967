/* dropout.c: which elements are dropped is a function of counters, not of a stream: element (row, column) of a step is
 * the same in forward and backward pass, on every instruction set, in both reals, and in the reference. */
#include "floating.h"
#include "head.h"

typedef struct { uint32_t word[4]; } Words;

/* Philox4x32-10; Salmon, Moraes, Dror & Shaw, Parallel Random Numbers: As Easy as 1, 2, 3 (2011). */
static inline Words philox(Words c, uint64_t seed)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++, key0 += 0x9E3779B9u, key1 += 0xBB67AE85u) {
        uint64_t a = (uint64_t)0xD2511F53u * c.word[0], b = (uint64_t)0xCD9E8D57u * c.word[2];
        c = (Words){{(uint32_t)(b >> 32) ^ c.word[1] ^ key0, (uint32_t)b,
                     (uint32_t)(a >> 32) ^ c.word[3] ^ key1, (uint32_t)a}};
    }
    return c;
}

static void copy_scaled(int real, size_t i, int keep, double scale, const void *x, void *y)
{
    if (real == PS_F32) ((float *)y)[i] = keep ? ((const float *)x)[i] * (float)scale : 0;
    else ((double *)y)[i] = keep ? ((const double *)x)[i] * scale : 0;
}

int ps_dropout(int real, size_t rows, size_t width, double rate, uint64_t seed, uint32_t place, int64_t step,
               const void *x, void *y)
{
    if ((real != PS_F32 && real != PS_F64) || !(rate >= 0 && rate < 1)) return PS_BAD_CALL;
    if ((width && rows > SIZE_MAX / sizeof(double) / width) || (rows && width && (!x || !y))) return PS_BAD_CALL;
    uint64_t threshold = (uint64_t)(rate * 4294967296.0 + 0.5);
    Control saved = enter_floating();
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < width; j += 4) {
            Words w = philox((Words){{(uint32_t)(j / 4), (uint32_t)r, (uint32_t)step, place}}, seed);
            for (size_t i = 0; i < 4 && j + i < width; i++)
                copy_scaled(real, r * width + j + i, w.word[i] >= threshold, 1.0 / (1.0 - rate), x, y);
        }
    leave_floating(saved);
    return PS_OK;
}
