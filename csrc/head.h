/* head.h: heads as the other entries use them, without the checks that the public ones make. */
#ifndef HEAD_H
#define HEAD_H
#include <string.h>
#include "table.h"

static inline size_t bytes_of(int real) { return real == PS_F32 ? sizeof(float) : sizeof(double); }

static inline double real_at(int real, const void *x, size_t i)
{
    return real == PS_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}
/* sum += x */
static inline void add_to(int real, size_t count, void *sum, const void *x)
{
    if (real == PS_F32) for (size_t i = 0; i < count; i++) ((float *)sum)[i] += ((const float *)x)[i];
    else for (size_t i = 0; i < count; i++) ((double *)sum)[i] += ((const double *)x)[i];
}

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

/* Of one row of y among the columns of others: reals, of which a label is one. */
static inline size_t target_columns(const ps_call *c)
{
    return c->target_kind == PS_LABELS ? 1 : target_bytes(c) / bytes_of(c->real);
}

/* In pieces of a constant size, the last of which overlaps the one before: a call of memcpy costs more than a row. */
static inline void copy_row(char *to, const char *from, size_t bytes)
{
    enum { PIECE = 16 };
    size_t i = 0;
    if (bytes == sizeof(float)) memcpy(to, from, sizeof(float));
    else if (bytes == sizeof(double)) memcpy(to, from, sizeof(double));
    else if (bytes < PIECE) memcpy(to, from, bytes);
    else {
        for (; i + PIECE <= bytes; i += PIECE) memcpy(to + i, from + i, PIECE);
        if (i < bytes) memcpy(to + bytes - PIECE, from + bytes - PIECE, PIECE);
    }
}

/* Whether family, sizes and arrays do not fit together. */
int bad_head(const ps_call *call, const Table *table);

/* Runs every block of a call that is not bad and has options; adds to *sum and *base. The first bad row wins. */
int run_head(const ps_call *call, const HeadRow *row, double *sum, double *base);

/* The same of several heads side by side; adds to *total. */
int bad_product(const ps_call *whole, size_t parts, const ps_call *part, const Table *table);
int run_product(const ps_call *whole, size_t parts, const ps_call *part, const Table *table, double *total,
                size_t *bad_part);

/* x *= factor, rounded to the array's type first. */
void scale_by(int real, size_t count, void *x, double factor);
#endif
