/* rowwise.h: the loops for K logits per row (softmax, mixtures). Few logits: LANES rows at once, one vector per logit in
 * a tile that stays in L1. Many logits: one row at a time, LANES logits per vector. Either way the work is done on
 * strips of vectors by the same text, and a row's result does not depend on the rows around it. */
#ifndef ROWWISE_H
#define ROWWISE_H

enum { FEW = 4 * LANES };                        /* up to so many logits per row go across rows                     */
enum { CHUNK = LANES == 1 ? 16 : 64 };           /* vectors that are added before a sum is carried on, compensated  */

/* ---- LANES rows of `width` reals <-> one vector per column ---- */
INLINE void tile_in(real *tile, const real *p, size_t width)
{
    V x[COLUMNS];
    for (size_t k = 0; width >= COLUMNS && k < width; k += COLUMNS) {
        if (k > width - COLUMNS) k = width - COLUMNS;          /* the last group overlaps the one before */
        load_columns(x, p + k, width);
        UNROLLED for (size_t j = 0; j < COLUMNS; j++) store(tile + (k + j) * (size_t)LANES, x[j]);
    }
    for (size_t k = 0; width < COLUMNS && k < width; k++)
        for (size_t i = 0; i < (size_t)LANES; i++) tile[k * (size_t)LANES + i] = p[i * width + k];
}
INLINE void tile_out(real *p, const real *tile, size_t width)
{
    V x[COLUMNS];
    for (size_t k = 0; width >= COLUMNS && k < width; k += COLUMNS) {
        if (k > width - COLUMNS) k = width - COLUMNS;
        UNROLLED for (size_t j = 0; j < COLUMNS; j++) x[j] = load(tile + (k + j) * (size_t)LANES);
        store_columns(p + k, width, x);
    }
    for (size_t k = 0; width < COLUMNS && k < width; k++)
        for (size_t i = 0; i < (size_t)LANES; i++) p[i * width + k] = tile[k * (size_t)LANES + i];
}
/* The same for the last, incomplete group of rows, through a copy in which the last row is repeated. */
APART void part_in(real *tile, real *copy, const real *p, size_t rows, size_t width)
{
    for (size_t i = 0; i < (size_t)LANES; i++)
        memcpy(copy + i * width, p + (i < rows ? i : rows - 1) * width, width * sizeof(real));
    tile_in(tile, copy, width);
}
APART void part_out(real *p, real *copy, const real *tile, size_t rows, size_t width)
{
    tile_out(copy, tile, width);
    memcpy(p, copy, rows * width * sizeof(real));
}

/* ---- strips ---- */
/* `count` vectors: the classes of LANES rows, one vector per class (across), or a row, LANES classes per vector. */
typedef struct {
    size_t first, count;                         /* number of the first class; vectors */
    const real *z, *y;                           /* logits; probabilities, or NULL for labels */
    const double *class_weights;                 /* from the first class on, or NULL for ones */
    real *e;                                     /* exponentials, or NULL when nobody reads them again */
} Strip;

INLINE Strip chunk_of(const Strip *s, size_t from)
{
    size_t at = from * (size_t)LANES, left = s->count - from;
    return (Strip){s->first + at, left < CHUNK ? left : CHUNK, s->z + at, s->y ? s->y + at : NULL,
                   s->class_weights ? s->class_weights + at : NULL, s->e ? s->e + at : NULL};
}

/* Sums over a long row: doubles, carried from chunk to chunk with compensation (Neumaier 1974). Terms are positive. */
typedef struct { double high, low; } Long;
INLINE Long carry(Long s, Sum chunk)
{
    double x = total_of(chunk), sum = s.high + x, big = s.high > x ? s.high : x, small = s.high > x ? x : s.high;
    return (Long){sum, s.low + ((big - sum) + small)};
}
INLINE V long_total(double more, Long s)         /* an infinite sum has no compensation */
{
    return splat((real)(more + (s.low == s.low ? s.high + s.low : s.high)));
}

/* ---- softmax ---- */
/* With e_k = exp(z_k - top): probabilities e_k * inverse, log-sum-exp = top + log1p(rest). rest leaves out one of the
 * largest, so that neither the log-sum-exp nor 1 - p of the largest class loses digits when it has nearly all mass. */
typedef struct { V top, rest, inverse; } Softmax;

/* exp(z - top) for z <= top. The difference can lose half an ulp of 100, which is 30 ulp of the exponential: the part
 * that rounding took from it is put back. */
INLINE V exp_below(V z, V top)
{
    Exact d = two_sum(z, -top);
    V e = exp_nonpositive(d.sum);
    return fma_(e, select(d.sum > C(EXP_LOW), d.error, C(0)), e);
}

INLINE V strip_max(V top, const Strip *s)
{
    V other = top;
    for (size_t j = 0; j + 1 < s->count; j += 2) {
        top = max_(top, load(s->z + j * (size_t)LANES));
        other = max_(other, load(s->z + (j + 1) * (size_t)LANES));
    }
    if (s->count % 2) top = max_(top, load(s->z + (s->count - 1) * (size_t)LANES));
    return max_(top, other);
}
INLINE real largest_lane(V x)
{
    real top = lane(x, 0);
    for (int i = 1; i < LANES; i++) top = lane(x, i) > top ? lane(x, i) : top;
    return top;
}

/* Exponentials below 1 are added; those of the largest logits, all equal to 1, are counted. */
typedef struct { Sum below; V ones; } Mass;
INLINE Mass strip_exp(const Strip *s, V top)
{
    Mass mass = {no_sum(), C(0)};
    for (size_t j = 0; j < s->count; j++) {
        V e = exp_below(load(s->z + j * (size_t)LANES), top);
        Mask one = e == C(1);
        if (s->e) store(s->e + j * (size_t)LANES, e);
        mass.below = add(mass.below, select(one, C(0), e));
        mass.ones = mass.ones + select(one, C(1), C(0));
    }
    return mass;
}
INLINE Softmax softmax_of(V top, V rest) { return (Softmax){top, rest, C(1) / (C(1) + rest)}; }

INLINE V top_across(const Strip *s) { return strip_max(-INF, s); }
INLINE Softmax softmax_across(const Strip *s, V top)
{
    Mass mass = strip_exp(s, top);
    return softmax_of(top, lane_sums(mass.below) + (mass.ones - C(1)));
}
INLINE V top_along(const Strip *s)               /* two strips: whole vectors, and the last, padded one */
{
    return splat(largest_lane(strip_max(strip_max(-INF, &s[0]), &s[1])));
}
INLINE Softmax softmax_along(const Strip *s, V top)
{
    Long below = {0, 0};
    double ones = -1;
    for (int i = 0; i < 2; i++) for (size_t j = 0; j < s[i].count; j += CHUNK) {
        Strip chunk = chunk_of(&s[i], j);
        Mass mass = strip_exp(&chunk, top);
        below = carry(below, mass.below), ones += total_of(add(no_sum(), mass.ones));
    }
    return softmax_of(top, long_total(ones, below));
}
#endif
