/* head.h: heads as the other entries use them, without the checks that the public ones make. */
#ifndef HEAD_H
#define HEAD_H
#include "table.h"

static inline size_t bytes_of(int real) { return real == PS_F32 ? sizeof(float) : sizeof(double); }

/* Of one row of y. */
static inline size_t target_bytes(const ps_call *c)
{
    switch (c->target_kind) {
    case PS_LABELS: return sizeof(int64_t);
    case PS_ROWS:   return c->width * bytes_of(c->real);
    case PS_PAIRS:  return 2 * c->outputs * bytes_of(c->real);
    default:        return c->outputs * bytes_of(c->real);
    }
}

/* Whether family, sizes and arrays do not fit together. */
int bad_head(const ps_call *call, const Table *table);

/* Runs every block of a call that is not bad and has options; adds to *sum and *base. The first bad row wins. */
int run_head(const ps_call *call, const HeadRow *row, double *sum, double *base);

/* x *= factor, rounded to the array's type first. */
void scale_by(int real, size_t count, void *x, double factor);
#endif
