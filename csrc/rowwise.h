/* rowwise.h: the loops for K logits per row (softmax, mixtures). Few logits: LANES rows at once, one vector per logit in
 * a tile that stays in L1. Many logits: one row at a time, LANES logits per vector. Either way the work is done on
 * strips of vectors by the same text, and a row's result does not depend on the rows around it. */
#ifndef ROWWISE_H
#define ROWWISE_H

enum { FEW = LANES == 1 ? 2 : 128 };             /* up to so many logits per row go across rows     */
enum { CHUNK = LANES == 1 ? 16 : 128 };          /* vectors that are added before a sum is carried on */

/* ---- LANES rows of `width` reals <-> one vector per column ---- */
/* Rows shorter than a group of columns. */
INLINE void narrow_in(V *x, const real *p, size_t width)
{
    if (COLUMNS > 2 && width == 2) {
        Pair pair = load2(p);
        x[0] = pair.a, x[1] = pair.b;
        return;
    }
    for (size_t k = 0; k < width; k++) {
        real column[LANES];
        UNROLLED for (size_t i = 0; i < (size_t)LANES; i++) column[i] = p[i * width + k];
        x[k] = load(column);
    }
}
INLINE void narrow_out(real *p, const V *x, size_t width)
{
    if (COLUMNS > 2 && width == 2) {
        store2(p, x[0], x[1]);
        return;
    }
    for (size_t k = 0; k < width; k++)
        UNROLLED for (int i = 0; i < LANES; i++) p[(size_t)i * width + k] = lane(x[k], i);
}
/* The groups of columns: the last one overlaps the one before. */
INLINE size_t group_at(size_t k, size_t width) { return k < width - COLUMNS ? k : width - COLUMNS; }

INLINE V tile_in(real *tile, const real *p, size_t width)      /* returns the largest of each row */
{
    V x[COLUMNS], top = -INF;
    if (width < COLUMNS) narrow_in(x, p, width);
    for (size_t k = 0; width < COLUMNS && k < width; k++)
        store(tile + k * (size_t)LANES, x[k]), top = max_(top, x[k]);
    for (size_t k = 0; width >= COLUMNS && k < width; k += COLUMNS) {
        real *to = tile + group_at(k, width) * (size_t)LANES;
        load_columns(x, p + group_at(k, width), width);
        UNROLLED for (int i = 0; i < COLUMNS; i++) store(to + i * LANES, x[i]), top = max_(top, x[i]);
    }
    return top;
}
/* The same for the last, incomplete group of rows, through a copy in which the last row is repeated. */
APART void part_in(real *tile, real *copy, const real *p, size_t rows, size_t width)
{
    for (size_t i = 0; i < (size_t)LANES; i++)
        memcpy(copy + i * width, p + (i < rows ? i : rows - 1) * width, width * sizeof(real));
    tile_in(tile, copy, width);
}

INLINE void tile_out(real *p, const real *tile, size_t width)
{
    V x[COLUMNS];
    for (size_t k = 0; width >= COLUMNS && k < width; k += COLUMNS) {
        const real *from = tile + group_at(k, width) * (size_t)LANES;
        UNROLLED for (int i = 0; i < COLUMNS; i++) x[i] = load(from + i * LANES);
        store_columns(p + group_at(k, width), width, x);
    }
    for (size_t k = 0; width < COLUMNS && k < width; k++) x[k] = load(tile + k * (size_t)LANES);
    if (width < COLUMNS) narrow_out(p, x, width);
}

/* ---- columns of LANES rows, for heads whose rows may be of any length ---- */
/* Rows of at most FEW reals go through a tile, `copy` being room for an incomplete group; longer ones are read and
 * written where they are. */
typedef struct { const real *in; real *out, *tile, *copy; size_t rows, width; } Columns;

SELDOM V far_column(const Columns *c, size_t k)
{
    real part[LANES];
    if (c->width == 1) return load_part(c->in, c->rows);
    for (size_t i = 0; i < (size_t)LANES; i++) part[i] = c->in[(i < c->rows ? i : c->rows - 1) * c->width + k];
    return load(part);
}
INLINE V column(const Columns *c, size_t k) { return c->tile ? load(c->tile + k * (size_t)LANES) : far_column(c, k); }
SELDOM void set_far_column(const Columns *c, size_t k, V x)
{
    for (size_t i = 0; i < c->rows; i++) c->out[i * c->width + k] = lane(x, (int)i);
}
INLINE void set_column(const Columns *c, size_t k, V x)
{
    if (c->tile) store(c->tile + k * (size_t)LANES, x);
    else set_far_column(c, k, x);
}
APART void read_columns(Columns *c)
{
    if (c->width > FEW) c->tile = NULL;
    else if (c->rows == (size_t)LANES) tile_in(c->tile, c->in, c->width);
    else part_in(c->tile, c->copy, c->in, c->rows, c->width);
}
APART void write_columns(const Columns *c)
{
    if (!c->tile) return;
    tile_out(c->rows == (size_t)LANES ? c->out : c->copy, c->tile, c->width);
    if (c->rows < (size_t)LANES) memcpy(c->out, c->copy, c->rows * c->width * sizeof(real));
}

INLINE void move_columns(Columns *c, const void *p, size_t row, size_t rows)
{
    c->in = p ? (const real *)p + row * c->width : NULL, c->rows = rows;
}
INLINE V row_weights(const ps_call *c, size_t row, size_t rows)         /* 0 where there is no row */
{
    if (rows == (size_t)LANES) return c->weights ? load((const real *)c->weights + row) : C(1);
    V w = c->weights ? load_part((const real *)c->weights + row, rows) : C(1);
    return select(first_lanes(rows), w, C(0));
}

/* ---- strips ---- */
/* `count` vectors: the classes of LANES rows, one vector per class (across), or a row, LANES classes per vector. */
typedef struct {
    size_t first, count, per;                    /* number of the first class; vectors; classes per vector */
    const real *z, *y;                           /* logits; probabilities, or NULL for labels */
    const double *class_weights;                 /* from the first class on, or NULL for ones */
    real *e;                                     /* exponentials, or NULL when nobody reads them again */
    const real *out;                             /* where results will be written: fetched meanwhile */
} Strip;

INLINE Strip chunk_of(const Strip *s, size_t from)
{
    size_t at = from * (size_t)LANES, class = from * s->per, left = s->count - from;
    return (Strip){s->first + class, left < CHUNK ? left : CHUNK, s->per, s->z + at, s->y ? s->y + at : NULL,
                   s->class_weights ? s->class_weights + class : NULL, s->e ? s->e + at : NULL,
                   s->out ? s->out + at : NULL};
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
    V negligible = bound + C(22);                               /* even a million of them, which LIFT keeps from being 0 */
    return (Reference){shift, (top - shift) - negligible,
                       as_int(fma_(select(small, top, C(0)), C(LOG2_E), magic)) - as_int(magic)};
}
INLINE V exp_relative(V z, Reference f)          /* 2^LIFT times that: no share of a sum minds */
{
    return exp_less(max_(z - f.shift, f.low), f.exponent);
}

/* With exponentials e_k and e_top = peak: probabilities e_k * inverse, log-sum-exp = top + log1p(rest), 1 - p of the
 * largest = others * inverse. others leaves out one of the largest, so that neither loses digits when it has nearly all
 * of the mass. */
typedef struct { V top, peak, others, rest, inverse; Reference reference; } Softmax;
INLINE Point share_of(V e, Softmax f)
{
    V p = e * f.inverse;
    return (Point){.mean = p, .rest = select(e == f.peak, f.others * f.inverse, C(1) - p)};
}

INLINE V strip_max(V top, const Strip *s)
{
    V tops[4] = {top, top, top, top};            /* each would wait for itself */
    const real *z = s->z;
    size_t j = s->count;
    for (; j >= 4; j -= 4, z += 4 * LANES) UNROLLED for (int i = 0; i < 4; i++) tops[i] = max_(tops[i], load(z + i * LANES));
    for (; j; j--, z += LANES) tops[0] = max_(tops[0], load(z));
    return max_(max_(tops[0], tops[1]), max_(tops[2], tops[3]));
}
INLINE real largest_lane(V x)
{
#if defined(ISA_AVX512) && REAL_BITS == 32
    return _mm512_reduce_max_ps((__m512)x);
#elif defined(ISA_AVX512)
    return _mm512_reduce_max_pd((__m512d)x);
#else
    real top = lane(x, 0);
    for (int i = 1; i < LANES; i++) top = lane(x, i) > top ? lane(x, i) : top;
    return top;
#endif
}

/* Exponentials other than the largest are added, GROUP at a time before they become doubles; those equal to the largest
 * are counted: where each lane is a row everywhere, along a row in the groups that have its largest logit. */
enum { GROUP = 8, LINE = 64 / sizeof(real) };
typedef struct { Sum below; I ones; } Mass;
INLINE V strip_exp_at(const Strip *s, const Softmax *f, size_t j)
{
    V e = exp_relative(load(s->z + j * (size_t)LANES), f->reference);
    if (s->e) store(s->e + j * (size_t)LANES, e);
    return e;
}
INLINE V unless_peak(V e, V peak, I *ones)       /* 0 and counted where it is one of the largest */
{
    Mask one = e == peak;
    *ones = *ones + iselect(one, isplat(1), isplat(0));
    return select(one, C(0), e);
}
INLINE void fetch(const Strip *s, size_t from, size_t to, size_t ahead)
{
    for (size_t i = from * LANES; i < to * LANES; i += LINE)
        __builtin_prefetch(s->z + i + ahead), __builtin_prefetch(s->out + i, 1);
}
INLINE V count_of(I ones) { return splat((real)total_of(add(no_sum(), whole_real(ones)))); }
INLINE Mass strip_exp(const Strip *s, const Softmax *f, int along, size_t ahead)       /* fetches what lies so far ahead */
{
    Sum below = no_sum();
    I ones = isplat(0);
    for (size_t from = 0; from < s->count; from += GROUP) {
        V group = C(0), top = -INF;
        size_t to = s->count - from < GROUP ? s->count : from + GROUP;
        for (size_t j = from; along && j < to; j++) top = max_(top, load(s->z + j * (size_t)LANES));
        if (along) fetch(s, from, to, ahead);
        if (along && !any_lane(top >= f->top)) for (size_t j = from; j < to; j++) group = group + strip_exp_at(s, f, j);
        else for (size_t j = from; j < to; j++) group = group + unless_peak(strip_exp_at(s, f, j), f->peak, &ones);
        below = add(below, group);
    }
    return (Mass){below, ones};
}

APART Mass strip_exp_last(const Strip *s, const Softmax *f) { return strip_exp(s, f, 0, 0); }

INLINE Softmax softmax_at(V top, Reference r) { return (Softmax){top, exp_relative(top, r), top, top, top, r}; }
INLINE Softmax softmax_start(V top) { return softmax_at(top, reference_for(top)); }
INLINE void softmax_end(Softmax *f, V below, V ones)
{
    V ties = ones - C(1);
    f->others = fma_(ties, f->peak, below);
    f->rest = below / f->peak + ties;
    f->inverse = C(1) / (f->others + f->peak);
}
INLINE void softmax_across(Softmax *f, const Strip *s)
{
    Mass mass = strip_exp(s, f, 0, 0);
    softmax_end(f, lane_sums(mass.below), whole_real(mass.ones));
}
/* The same from the start for few classes, whose differences are taken with their rounding error; peak = 1. */
APART void softmax_few(Softmax *f, size_t count, const real *z, real *e)
{
    V top = strip_max(-INF, &(Strip){.count = count, .z = z}), below = C(0), ones = C(0);
    for (size_t from = 0; from < count; from += GROUP) {
        V group = C(0);
        for (size_t j = from; j < count && j < from + GROUP; j++) {
            Exact x = two_sum(load(z + j * (size_t)LANES), -top);
            V each = exp_lifted(x.sum, select(x.sum > C(EXP_LOW), x.error, C(0))) * DROP;
            Mask one = each == C(1);
            store(e + j * (size_t)LANES, each);
            group = group + select(one, C(0), each), ones = ones + select(one, C(1), C(0));
        }
        below = below + group;
    }
    f->top = top, f->peak = C(1);
    f->others = f->rest = below + (ones - C(1));
    f->inverse = C(1) / (f->others + C(1));
}
/* Long rows whose largest logit is at most TAME from 0, as most are: their exponentials are taken as they are, lifted, and
 * the largest is found meanwhile, so that the logits are read once. The groups that have it are then added again. */
enum { TAME = 16, ROW = 16384 / sizeof(real), GROUPS = ROW / LANES / GROUP + 1 };
#define TAME_LOW C(REAL_BITS == 32 ? -131 : -1000)              /* that far below -TAME even all of a row are nothing */
INLINE V add_again(const Strip *s, size_t from, size_t to, V peak, I *ones)
{
    V group = C(0);
    for (size_t j = from; j < to; j++) group = group + unless_peak(load(s->e + j * (size_t)LANES), peak, ones);
    return group;
}
INLINE int softmax_tame(Softmax *f, const Strip *s, size_t width)
{
    V group[GROUPS], tops[GROUPS], top = strip_max(-INF, &s[1]);
    Reference r = {C(0), TAME_LOW, isplat(LIFT ? 0 : -RAISE)};
    size_t groups = 0, count = s[0].count;
    for (size_t from = 0; from < count; from += GROUP, groups++) {
        V sum = C(0), most = -INF;
        size_t to = count - from < GROUP ? count : from + GROUP;
        fetch(&s[0], from, to, width);
        for (size_t j = from; j < to; j++) {
            V z = load(s[0].z + j * (size_t)LANES), e = exp_relative(z, r);
            store(s[0].e + j * (size_t)LANES, e);
            most = max_(most, z), sum = sum + e;
        }
        group[groups] = sum, tops[groups] = most, top = max_(most, top);
    }
    real largest = largest_lane(top);
    if (!(largest >= -TAME && largest <= TAME)) return 0;
    top = splat(largest), *f = softmax_at(top, r);
    Mass mass = strip_exp_last(&s[1], f);
    for (size_t g = 0; g < groups; g++) {
        size_t from = g * GROUP, to = count - from < GROUP ? count : from + GROUP;
        mass.below = add(mass.below, any_lane(tops[g] >= top) ? add_again(&s[0], from, to, f->peak, &mass.ones) : group[g]);
    }
    softmax_end(f, splat((real)total_of(mass.below)), count_of(mass.ones));
    return 1;
}
/* Two strips: whole vectors, and the last, padded one. The next row is fetched. */
INLINE void softmax_along(Softmax *f, const Strip *s, size_t width)
{
    Long below = {0, 0};
    Mass mass = strip_exp_last(&s[1], f);        /* joins the first chunk */
    for (size_t j = 0; j < s[0].count; j += CHUNK) {
        Strip chunk = chunk_of(&s[0], j);
        Mass part = strip_exp(&chunk, f, 1, width);
        below = carry(below, add_sums(mass.below, part.below));
        mass = (Mass){no_sum(), mass.ones + part.ones};
    }
    softmax_end(f, long_total(below), count_of(mass.ones));
}
#endif
