/* rowwise.h: the loops for K logits per row (softmax, mixtures). Few logits: LANES rows at once, one vector per logit in
 * a tile that stays in L1. Many logits: one row at a time, LANES logits per vector. Either way the work is done on
 * strips of vectors by the same text, and a row's result does not depend on the rows around it. */
#ifndef ROWWISE_H
#define ROWWISE_H

enum { FEW = LANES == 1 ? 2 : 128 };             /* up to so many logits per row go across rows     */
enum { CHUNK = LANES == 1 ? 16 : 32 };           /* vectors that are added before a sum is carried on */

/* ---- LANES rows of `width` reals <-> one vector per column ---- */
INLINE void tile_in(real *tile, const real *p, size_t width)
{
    V x[COLUMNS];
    if (LANES > 1 && COLUMNS > 2 && width == 2) {
        Pair pair = load2(p);
        store(tile, pair.a), store(tile + LANES, pair.b);
        return;
    }
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
    if (LANES > 1 && COLUMNS > 2 && width == 2) {
        store2(p, load(tile), load(tile + LANES));
        return;
    }
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
    size_t first, count, per;                    /* number of the first class; vectors; classes per vector */
    const real *z, *y;                           /* logits; probabilities, or NULL for labels */
    const double *class_weights;                 /* from the first class on, or NULL for ones */
    real *e;                                     /* exponentials, or NULL when nobody reads them again */
} Strip;

INLINE Strip chunk_of(const Strip *s, size_t from)
{
    size_t at = from * (size_t)LANES, class = from * s->per, left = s->count - from;
    return (Strip){s->first + class, left < CHUNK ? left : CHUNK, s->per, s->z + at, s->y ? s->y + at : NULL,
                   s->class_weights ? s->class_weights + class : NULL, s->e ? s->e + at : NULL};
}

/* Sums over a long row: doubles, carried from chunk to chunk with compensation (Neumaier 1974). Terms are positive. */
typedef struct { double high, low; } Long;
INLINE Long carry(Long s, Sum chunk)
{
    double x = total_of(chunk), sum = s.high + x, big = s.high > x ? s.high : x, small = s.high > x ? x : s.high;
    return (Long){sum, s.low + ((big - sum) + small)};
}
INLINE V long_total(Long s)                      /* an infinite sum has no compensation */
{
    return splat((real)(s.low == s.low ? s.high + s.low : s.high));
}

/* ---- softmax ---- */
/* z - top is not a float: rounding it would cost the exponential up to half an ulp of 100, which is 30 ulp. Instead all
 * exponentials are taken relative to 2^exponent near e^top, which is exact; or, where top is so large that every
 * difference that matters is exact (Sterbenz), to e^shift with shift = top. */
typedef struct { V shift, low; I exponent; } Reference;
INLINE Reference reference_for(V top)
{
    V bound = C(-EXP_LOW), magic = ROUNDER;                     /* small < 2 bound: z LOG2_E is within exp_parts' range */
    Mask small = both(top > -bound, top < C(2) * bound);
    V shift = select(small, C(0), top);
    return (Reference){shift, (top - shift) - (bound + C(2)),
                       as_int(fma_(select(small, top, C(0)), C(LOG2_E), magic)) - as_int(magic)};
}
INLINE V exp_relative(V z, Reference f)
{
    enum { LIFT = REAL_BITS == 32 ? 64 : 512 };                 /* keeps 2^n above the denormals */
    ExpParts p = exp_parts(max_(z - f.shift, f.low), C(0), BIAS + LIFT);
    V scale = power_of_two(p.bits - f.exponent);
    return fma_(scale, p.expm1, scale) * C(REAL_BITS == 32 ? 0x1p-64 : 0x1p-512);
}

/* With exponentials e_k and e_top = peak: probabilities e_k * inverse, log-sum-exp = top + log1p(rest), 1 - p of the
 * largest = others * inverse. others leaves out one of the largest, so that neither loses digits when it has nearly all
 * of the mass. */
typedef struct { V top, peak, others, rest, inverse; Reference reference; } Softmax;

INLINE V strip_max(V top, const Strip *s)
{
    V other = top;
    const real *z = s->z;
    size_t j = s->count;
    for (; j >= 2; j -= 2, z += 2 * LANES) top = max_(top, load(z)), other = max_(other, load(z + LANES));
    if (j) top = max_(top, load(z));
    return max_(top, other);
}
INLINE real largest_lane(V x)
{
    real top = lane(x, 0);
    for (int i = 1; i < LANES; i++) top = lane(x, i) > top ? lane(x, i) : top;
    return top;
}

/* Exponentials other than the largest are added, in pairs; those equal to the largest are counted. */
typedef struct { Sum below; V ones; } Mass;
INLINE Pair strip_exp_at(const Strip *s, size_t j, const Softmax *f)
{
    V e = exp_relative(load(s->z + j * (size_t)LANES), f->reference);
    Mask one = e == f->peak;
    if (s->e) store(s->e + j * (size_t)LANES, e);
    return (Pair){select(one, C(0), e), select(one, C(1), C(0))};
}
INLINE Mass strip_exp(const Strip *s, const Softmax *f)
{
    Sum below = no_sum();
    V ones = C(0);
    size_t j = 0;
    for (; j + 1 < s->count; j += 2) {
        Pair x = strip_exp_at(s, j, f), y = strip_exp_at(s, j + 1, f);
        below = add(below, x.a + y.a), ones = ones + (x.b + y.b);
    }
    if (j < s->count) {
        Pair x = strip_exp_at(s, j, f);
        below = add(below, x.a), ones = ones + x.b;
    }
    return (Mass){below, ones};
}

INLINE Softmax softmax_start(V top)
{
    Reference r = reference_for(top);
    return (Softmax){top, exp_relative(top, r), top, top, top, r};
}
INLINE void softmax_end(Softmax *f, V below, V ones)
{
    V ties = ones - C(1);
    f->others = fma_(ties, f->peak, below);
    f->rest = below / f->peak + ties;
    f->inverse = C(1) / (f->others + f->peak);
}
INLINE void softmax_across(Softmax *f, const Strip *s)
{
    Sum below = no_sum();
    V ones = C(0);
    for (size_t j = 0; j < s->count; j += CHUNK) {
        Strip chunk = chunk_of(s, j);
        Mass mass = strip_exp(&chunk, f);
        below = add_sums(below, mass.below), ones = ones + mass.ones;
    }
    softmax_end(f, lane_sums(below), ones);
}
INLINE void softmax_along(Softmax *f, const Strip *s)          /* two strips: whole vectors, and the last, padded one */
{
    Long below = {0, 0};
    double ones = 0;
    for (int i = 0; i < 2; i++) for (size_t j = 0; j < s[i].count; j += CHUNK) {
        Strip chunk = chunk_of(&s[i], j);
        Mass mass = strip_exp(&chunk, f);
        below = carry(below, mass.below), ones += total_of(add(no_sum(), mass.ones));
    }
    softmax_end(f, long_total(below), splat((real)ones));
}
#endif
