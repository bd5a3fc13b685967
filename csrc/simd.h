/* simd.h: V, a vector of LANES reals, and the helpers that are not plain C operators.
 *
 * Formulas are written once for vectors and for plain scalars, so they use only + - * /, comparisons (whose type is
 * Mask, never V) and what stands here. Each helper has a portable body; an intrinsic replaces it where a compiler does
 * not find the instruction by itself. */
#ifndef SIMD_H
#define SIMD_H

#define INLINE static inline __attribute__((always_inline, unused))
#define APART static __attribute__((noinline, unused))          /* big functions: one copy per object */
#define SELDOM static __attribute__((noinline, unused, cold))   /* the same where size counts for more than speed */
#if defined(__clang__)
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

#if REAL_BITS == 32
typedef float real;
typedef int32_t ireal;
typedef uint32_t ureal;
#define REAL_EPSILON FLT_EPSILON
#define REAL_MIN FLT_MIN
#define REAL_MAX FLT_MAX
#else
typedef double real;
typedef int64_t ireal;
typedef uint64_t ureal;
#define REAL_EPSILON DBL_EPSILON
#define REAL_MIN DBL_MIN
#define REAL_MAX DBL_MAX
#endif

#define LANES ((int)(ISA_BYTES / sizeof(real)))
#ifdef ISA_SCALAR
typedef real V;
typedef ireal I;
typedef int Mask;
#else
typedef real V __attribute__((vector_size(ISA_BYTES)));
typedef ireal I __attribute__((vector_size(ISA_BYTES)));
typedef I Mask;
#endif

/* ---- constants, memory ---- */
#ifdef ISA_SCALAR
INLINE V splat(real x) { return x; }
INLINE I isplat(ireal n) { return n; }
INLINE real lane(V x, int i) { (void)i; return x; }
#else
INLINE V splat(real x) { return x - (V){0}; }                   /* x - 0, not x + 0: keeps the sign of -0 */
INLINE I isplat(ireal n) { return n - (I){0}; }
INLINE real lane(V x, int i) { return x[i]; }
#endif
INLINE void set_lane(V *x, size_t i, real value) { memcpy((char *)x + i * sizeof value, &value, sizeof value); }
#define C(x) splat((real)(x))

INLINE V load(const real *p) { V x; memcpy(&x, p, sizeof x); return x; }
INLINE void store(real *p, V x) { memcpy(p, &x, sizeof x); }
/* The last, incomplete vector: missing lanes repeat the last element, so that they neither trap nor fail a check. */
#if defined(ISA_AVX512) && REAL_BITS == 32
INLINE V load_first(const real *p, size_t count)
{
    return (V)_mm512_mask_loadu_ps((__m512)splat(p[count - 1]), (__mmask16)((1u << count) - 1), p);
}
INLINE void store_first(real *p, V x, size_t count) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1), (__m512)x); }
#elif defined(ISA_AVX512)
INLINE V load_first(const real *p, size_t count)
{
    return (V)_mm512_mask_loadu_pd((__m512d)splat(p[count - 1]), (__mmask8)((1u << count) - 1), p);
}
INLINE void store_first(real *p, V x, size_t count) { _mm512_mask_storeu_pd(p, (__mmask8)((1u << count) - 1), (__m512d)x); }
#else
APART V load_first(const real *p, size_t count)
{
    real part[LANES];
    store(part, splat(p[count - 1]));
    for (size_t piece = (size_t)LANES / 2, i = 0; piece; piece /= 2)            /* halves: copies of constant size */
        if (count & piece) memcpy(part + i, p + i, piece * sizeof(real)), i += piece;
    return load(part);
}
APART void store_first(real *p, V x, size_t count)
{
    real part[LANES];
    store(part, x);
    for (size_t piece = (size_t)LANES / 2, i = 0; piece; piece /= 2)
        if (count & piece) memcpy(p + i, part + i, piece * sizeof(real)), i += piece;
}
#endif
INLINE V load_part(const real *p, size_t count) { return count < (size_t)LANES ? load_first(p, count) : load(p); }
INLINE void store_part(real *p, V x, size_t count)
{
    if (count < (size_t)LANES) store_first(p, x, count);
    else store(p, x);
}

/* Past the caches, for results that are larger than they are: whole vectors where they are aligned in memory. */
INLINE void stream(real *p, V x)
{
#if defined(ISA_AVX2) && REAL_BITS == 32
    _mm256_stream_ps(p, (__m256)x);
#elif defined(ISA_AVX2)
    _mm256_stream_pd(p, (__m256d)x);
#elif defined(ISA_AVX512) && REAL_BITS == 32
    _mm512_stream_ps(p, (__m512)x);
#elif defined(ISA_AVX512)
    _mm512_stream_pd(p, (__m512d)x);
#else
    store(p, x);
#endif
}
INLINE void stream_end(void)                                    /* before another thread may read what was streamed */
{
#if defined(ISA_AVX2) || defined(ISA_AVX512)
    _mm_sfence();
#endif
}

/* ---- bits ---- */
INLINE I as_int(V x) { I n; memcpy(&n, &x, sizeof n); return n; }
INLINE V as_real(I n) { V x; memcpy(&x, &n, sizeof x); return x; }
INLINE I shift_left(I n, int bits)                              /* of a negative plain integer C does not define it */
{
#if defined(ISA_SCALAR)
    return (ireal)((ureal)n << bits);
#else
    return n << (ireal)bits;
#endif
}
INLINE I shift_right(I n, int bits)                             /* fills with zeros: AVX2 has no other shift of int64 */
{
#if defined(ISA_SCALAR)
    return (ireal)((ureal)n >> bits);
#else
    typedef ureal U __attribute__((vector_size(ISA_BYTES)));
    return (I)((U)n >> (ureal)bits);
#endif
}

INLINE I less(I a, I b)                                         /* a - b, which may wrap around */
{
#if defined(ISA_SCALAR)
    return (ireal)((ureal)a - (ureal)b);
#else
    typedef ureal U __attribute__((vector_size(ISA_BYTES)));
    return (I)((U)a - (U)b);
#endif
}

/* ---- masks ---- */
#define select select_lanes                                     /* the system headers own the short name */
#ifdef ISA_SCALAR
INLINE V select(Mask m, V a, V b) { return m ? a : b; }
INLINE I iselect(Mask m, I a, I b) { return m ? a : b; }
INLINE Mask both(Mask a, Mask b) { return a & b; }
INLINE Mask either(Mask a, Mask b) { return a | b; }
INLINE Mask negate(Mask a) { return !a; }
INLINE int any_lane(Mask m) { return m; }
INLINE int first_lane(Mask m) { return m ? 0 : LANES; }
INLINE I lane_numbers(void) { return 0; }
INLINE Mask first_lanes(size_t count) { return count > 0; }
#else
#ifdef ISA_AVX512                                               /* gcc makes one masked move of a sum, two steps of | */
INLINE I iselect(Mask m, I a, I b) { return (m & a) + (~m & b); }
#else
INLINE I iselect(Mask m, I a, I b) { return (m & a) | (~m & b); }
#endif
INLINE V select(Mask m, V a, V b)
{
#if defined(ISA_AVX2) && REAL_BITS == 32
    return (V)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)m);
#elif defined(ISA_AVX2)
    return (V)_mm256_blendv_pd((__m256d)b, (__m256d)a, (__m256d)m);
#else
    return (V)iselect(m, (I)a, (I)b);
#endif
}
INLINE Mask both(Mask a, Mask b) { return a & b; }
INLINE Mask either(Mask a, Mask b) { return a | b; }
INLINE Mask negate(Mask a) { return ~a; }
INLINE int any_lane(Mask m)
{
#if defined(ISA_AVX2)
    return !_mm256_testz_si256((__m256i)m, (__m256i)m);
#elif defined(ISA_AVX512)
    return _mm512_test_epi64_mask((__m512i)m, (__m512i)m) != 0;
#else
    ireal any = 0;
    for (int i = 0; i < LANES; i++) any |= m[i];
    return any != 0;
#endif
}
INLINE int first_lane(Mask m)                                   /* the first true lane, LANES if there is none */
{
    for (int i = 0; i < LANES; i++) if (m[i]) return i;
    return LANES;
}
INLINE I lane_numbers(void)                                     /* 0, 1, 2, ... */
{
    I index;
    for (int i = 0; i < LANES; i++) index[i] = (ireal)i;
    return index;
}
INLINE Mask first_lanes(size_t count)                           /* true in lanes 0 ... count - 1 */
{
    return lane_numbers() < isplat((ireal)(count < (size_t)LANES ? count : (size_t)LANES));
}
#endif

/* ---- arithmetic ---- */
#ifdef ISA_AVX512                                               /* a result that gcc would make twice, plain and masked */
INLINE V opaque(V x) { __asm__("" : "+v"(x)); return x; }
#else
INLINE V opaque(V x) { return x; }
#endif
INLINE V fma_(V a, V b, V c)                                    /* a b + c, rounded once where the machine can */
{
#if defined(ISA_AVX2) && REAL_BITS == 32
    return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(ISA_AVX2)
    return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(ISA_AVX512) && REAL_BITS == 32
    return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(ISA_AVX512)
    return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(ISA_NEON) && REAL_BITS == 32
    return (V)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#elif defined(ISA_NEON)
    return (V)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#else
    return a * b + c;
#endif
}
INLINE V sqrt_(V x)
{
#if defined(ISA_AVX2) && REAL_BITS == 32
    return (V)_mm256_sqrt_ps((__m256)x);
#elif defined(ISA_AVX2)
    return (V)_mm256_sqrt_pd((__m256d)x);
#elif defined(ISA_AVX512) && REAL_BITS == 32
    return (V)_mm512_sqrt_ps((__m512)x);
#elif defined(ISA_AVX512)
    return (V)_mm512_sqrt_pd((__m512d)x);
#elif defined(ISA_NEON) && REAL_BITS == 32
    return (V)vsqrtq_f32((float32x4_t)x);
#elif defined(ISA_NEON)
    return (V)vsqrtq_f64((float64x2_t)x);
#elif REAL_BITS == 32
    return __builtin_sqrtf(x);
#else
    return __builtin_sqrt(x);
#endif
}
/* max_ and min_ return a when a is NaN, so clamping against a constant second argument keeps NaN. */
INLINE V max_(V a, V b)
{
#if defined(ISA_AVX2) && REAL_BITS == 32
    return (V)_mm256_max_ps((__m256)b, (__m256)a);
#elif defined(ISA_AVX2)
    return (V)_mm256_max_pd((__m256d)b, (__m256d)a);
#elif defined(ISA_AVX512) && REAL_BITS == 32
    return (V)_mm512_max_ps((__m512)b, (__m512)a);
#elif defined(ISA_AVX512)
    return (V)_mm512_max_pd((__m512d)b, (__m512d)a);
#else
    return select(b > a, b, a);
#endif
}
INLINE V min_(V a, V b)
{
#if defined(ISA_AVX2) && REAL_BITS == 32
    return (V)_mm256_min_ps((__m256)b, (__m256)a);
#elif defined(ISA_AVX2)
    return (V)_mm256_min_pd((__m256d)b, (__m256d)a);
#elif defined(ISA_AVX512) && REAL_BITS == 32
    return (V)_mm512_min_ps((__m512)b, (__m512)a);
#elif defined(ISA_AVX512)
    return (V)_mm512_min_pd((__m512d)b, (__m512d)a);
#else
    return select(b < a, b, a);
#endif
}
INLINE V abs_(V x) { return as_real(as_int(x) & ~as_int(C(-0.0))); }
INLINE V copysign_(V magnitude, V sign)
{
    I bit = as_int(C(-0.0));
    return as_real((as_int(magnitude) & ~bit) | (as_int(sign) & bit));
}
INLINE Mask is_nan(V x) { return x != x; }
INLINE Mask is_finite(V x) { return abs_(x) <= C(REAL_MAX); }
INLINE V times(V a, V b)                     /* a b for finite a, with 0 inf = 0 as measure theory has it, and 0 NaN = 0 */
{
    return select(a != C(0), a * b, C(0));
}
/* Adding 1.5 * 2^mantissa leaves no fraction: the nearest whole number, ties to even, for |x| < 2^(mantissa - 1). */
#define ROUNDER C(REAL_BITS == 32 ? 0x1.8p23 : 0x1.8p52)
INLINE V round_(V x)                                            /* to the nearest whole number, ties to even */
{
#if defined(ISA_AVX2) && REAL_BITS == 32
    return (V)_mm256_round_ps((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(ISA_AVX2)
    return (V)_mm256_round_pd((__m256d)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(ISA_AVX512) && REAL_BITS == 32
    return (V)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined(ISA_AVX512)
    return (V)_mm512_roundscale_pd((__m512d)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    V big = C(REAL_BITS == 32 ? 0x1p23 : 0x1p52);               /* from here on every finite real is whole */
    return select(abs_(x) >= big, x, copysign_((abs_(x) + ROUNDER) - ROUNDER, x));
#endif
}
INLINE Mask is_whole(V x) { return x == round_(x); }            /* of a finite x; false for NaN */
#ifdef ISA_AVX512
INLINE V scalef(V x, V n)                                       /* x 2^n for a whole n, rounded where it is denormal */
{
#if REAL_BITS == 32
    return (V)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
    return (V)_mm512_scalef_pd((__m512d)x, (__m512d)n);
#endif
}
#endif

/* ---- sums: always in double, lane by lane, then by halves: a function of the data alone ---- */
/* Adding four vectors of floats before they become doubles would save a fifth of Poisson's time, but the totals of parts
 * would then add up to that of the whole to 1e-8 only, instead of 1e-13. */
/* `compound`: the product of 1 + x over positive x, minus 1: (1 + p) (1 + x) - 1 = x (1 + p) + p, where nothing cancels. The
 * sum of log(1 + x) is its log1p: one logarithm for many rows.
 * `add_finite`, then `finite_total`, and `compound_finite`: the same bits for finite x, on AVX-512 in fewer steps. The bits
 * of a float, moved by 29 into those of a double, are x 2^-896, exactly, denormal or not; a multiplication moves the even
 * lanes, a shift the odd ones, and what is doubled of the sign is masked away. */
#ifdef ISA_SCALAR
typedef double Sum;
INLINE Sum no_sum(void) { return 0.0; }
INLINE Sum add(Sum s, V x) { return s + (double)x; }
INLINE double total_of(Sum s) { return s; }
INLINE V lane_sums(Sum s) { return (real)s; }
INLINE Sum add_sums(Sum a, Sum b) { return a + b; }
INLINE Sum compound(Sum p, V x) { return (double)x * (1.0 + p) + p; }
INLINE Sum add_finite(Sum s, V x) { return add(s, x); }
INLINE Sum compound_finite(Sum p, V x) { return compound(p, x); }
INLINE double finite_total(Sum s) { return s; }
INLINE double compound_of(Sum s) { return s; }
#else
typedef double D __attribute__((vector_size(ISA_BYTES)));
enum { D_LANES = ISA_BYTES / 8, D_PARTS = 64 / REAL_BITS };
typedef struct { D part[D_PARTS]; } Sum;
INLINE Sum no_sum(void) { return (Sum){{{0}}}; }
INLINE Sum widen(V x)                                           /* its lanes as doubles */
{
#if defined(ISA_AVX2) && REAL_BITS == 32
    return (Sum){{(D)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)x)),
                  (D)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)x, 1))}};
#elif defined(ISA_AVX512) && REAL_BITS == 32
    return (Sum){{(D)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)x)),
                  (D)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)x, 1))}};
#elif REAL_BITS == 32
    typedef float Half __attribute__((vector_size(ISA_BYTES / 2)));
    Half half[2];
    memcpy(half, &x, sizeof x);
    return (Sum){{__builtin_convertvector(half[0], D), __builtin_convertvector(half[1], D)}};
#else
    return (Sum){{x}};
#endif
}
INLINE Sum add_sums(Sum a, Sum b)
{
    UNROLLED for (int p = 0; p < D_PARTS; p++) a.part[p] += b.part[p];
    return a;
}
INLINE Sum add(Sum s, V x) { return add_sums(s, widen(x)); }
INLINE D fma_double(D a, D b, D c)
{
#if defined(ISA_AVX2)
    return (D)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#elif defined(ISA_AVX512)
    return (D)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#else
    return (D)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
#endif
}
INLINE Sum compound(Sum p, V x)
{
    Sum w = widen(x);
    UNROLLED for (int i = 0; i < D_PARTS; i++) p.part[i] = fma_double(w.part[i], p.part[i] + 1.0, p.part[i]);
    return p;
}
#if defined(ISA_AVX512) && REAL_BITS == 32
INLINE Sum scaled_down(V x)
{
    __m512i bits = (__m512i)x, up = _mm512_set1_epi64(1 << 29), field = _mm512_set1_epi64(~(7ll << 60 | ((1 << 29) - 1)));
    return (Sum){{(D)_mm512_and_si512(_mm512_mul_epi32(bits, up), field),
                  (D)_mm512_and_si512(_mm512_srai_epi64(bits, 3), field)}};
}
INLINE Sum add_finite(Sum s, V x) { return add_sums(s, scaled_down(x)); }
INLINE Sum compound_finite(Sum p, V x)
{
    Sum w = scaled_down(x);
    D up = (D)_mm512_set1_pd(0x1p896);
    UNROLLED for (int i = 0; i < D_PARTS; i++) p.part[i] = fma_double(w.part[i], fma_double(p.part[i], up, up), p.part[i]);
    return p;
}
#else
INLINE Sum add_finite(Sum s, V x) { return add(s, x); }
INLINE Sum compound_finite(Sum p, V x) { return compound(p, x); }
#endif
INLINE double total_of(Sum s)
{
    D x = s.part[0];
    for (int p = 1; p < D_PARTS; p++) x += s.part[p];
#if defined(ISA_AVX512)
    return _mm512_reduce_add_pd((__m512d)x);
#elif defined(ISA_AVX2)
    __m128d pair = _mm_add_pd(_mm256_castpd256_pd128((__m256d)x), _mm256_extractf128_pd((__m256d)x, 1));
    return _mm_cvtsd_f64(_mm_add_sd(pair, _mm_unpackhi_pd(pair, pair)));
#else
    double total = 0.0;
    for (int i = 0; i < D_LANES; i++) total += x[i];
    return total;
#endif
}
INLINE double finite_total(Sum s) { return total_of(s) * (ISA_BYTES == 64 && REAL_BITS == 32 ? 0x1p896 : 1); }
INLINE double compound_of(Sum s)
{
    D x = s.part[0];
    double p[D_LANES];
    for (int k = 1; k < D_PARTS; k++) x = fma_double(x, s.part[k], x + s.part[k]);
    memcpy(p, &x, sizeof x);
    UNROLLED for (int n = D_LANES / 2; n; n /= 2) UNROLLED for (int i = 0; i < n; i++) p[i] += p[i + n] + p[i] * p[i + n];
    return p[0];
}
INLINE V lane_sums(Sum s)                                       /* each lane's own sum, rounded to a real */
{
#if REAL_BITS == 32
    typedef float Half __attribute__((vector_size(ISA_BYTES / 2)));
    Half half[2] = {__builtin_convertvector(s.part[0], Half), __builtin_convertvector(s.part[1], Half)};
    V x;
    memcpy(&x, half, sizeof x);
    return x;
#else
    return s.part[0];
#endif
}
#endif

/* ---- pairs: (a0 b0 a1 b1 ...) in memory, a and b in registers ---- */
typedef struct { V a, b; } Pair;
#ifdef ISA_AVX512
INLINE V permute2(V a, I index, V b)                            /* a b as one vector of 2 LANES, by index */
{
#if REAL_BITS == 32
    return (V)_mm512_permutex2var_ps((__m512)a, (__m512i)index, (__m512)b);
#else
    return (V)_mm512_permutex2var_pd((__m512d)a, (__m512i)index, (__m512d)b);
#endif
}
#endif
INLINE Pair load2(const real *p)
{
#if defined(ISA_SCALAR)
    return (Pair){p[0], p[1]};
#elif defined(ISA_AVX2) && REAL_BITS == 32
    __m256 u = _mm256_loadu_ps(p), v = _mm256_loadu_ps(p + 8);
    __m256 lo = _mm256_permute2f128_ps(u, v, 0x20), hi = _mm256_permute2f128_ps(u, v, 0x31);
    return (Pair){(V)_mm256_shuffle_ps(lo, hi, 0x88), (V)_mm256_shuffle_ps(lo, hi, 0xdd)};
#elif defined(ISA_AVX2)
    __m256d u = _mm256_loadu_pd(p), v = _mm256_loadu_pd(p + 4);
    __m256d lo = _mm256_permute2f128_pd(u, v, 0x20), hi = _mm256_permute2f128_pd(u, v, 0x31);
    return (Pair){(V)_mm256_unpacklo_pd(lo, hi), (V)_mm256_unpackhi_pd(lo, hi)};
#elif defined(ISA_AVX512)
    V u = load(p), v = load(p + LANES);
    I even = lane_numbers() * isplat(2);                        /* from u v as one vector of 2 LANES */
    return (Pair){permute2(u, even, v), permute2(u, even + isplat(1), v)};
#elif defined(ISA_NEON) && REAL_BITS == 32
    float32x4x2_t both_ = vld2q_f32(p);
    return (Pair){(V)both_.val[0], (V)both_.val[1]};
#elif defined(ISA_NEON)
    float64x2x2_t both_ = vld2q_f64(p);
    return (Pair){(V)both_.val[0], (V)both_.val[1]};
#else
    real a[LANES], b[LANES];
    for (int i = 0; i < LANES; i++) a[i] = p[2 * i], b[i] = p[2 * i + 1];
    return (Pair){load(a), load(b)};
#endif
}
#if defined(ISA_AVX2) || defined(ISA_AVX512)
INLINE Pair zip(V a, V b)                                       /* a0 b0 a1 b1 ... as two vectors */
{
#if defined(ISA_AVX2) && REAL_BITS == 32
    __m256 lo = _mm256_unpacklo_ps((__m256)a, (__m256)b), hi = _mm256_unpackhi_ps((__m256)a, (__m256)b);
    return (Pair){(V)_mm256_permute2f128_ps(lo, hi, 0x20), (V)_mm256_permute2f128_ps(lo, hi, 0x31)};
#elif defined(ISA_AVX2)
    __m256d lo = _mm256_unpacklo_pd((__m256d)a, (__m256d)b), hi = _mm256_unpackhi_pd((__m256d)a, (__m256d)b);
    return (Pair){(V)_mm256_permute2f128_pd(lo, hi, 0x20), (V)_mm256_permute2f128_pd(lo, hi, 0x31)};
#else
    I front = lane_numbers() / isplat(2) + (lane_numbers() & isplat(1)) * isplat(LANES);
    return (Pair){permute2(a, front, b), permute2(a, front + isplat(LANES / 2), b)};
#endif
}
INLINE void stream2(real *p, V a, V b)
{
    Pair x = zip(a, b);
    stream(p, x.a), stream(p + LANES, x.b);
}
#endif
INLINE void store2(real *p, V a, V b)
{
#if defined(ISA_SCALAR)
    p[0] = a, p[1] = b;
#elif defined(ISA_AVX2) || defined(ISA_AVX512)
    Pair x = zip(a, b);
    store(p, x.a), store(p + LANES, x.b);
#elif defined(ISA_NEON) && REAL_BITS == 32
    float32x4x2_t pair = {{(float32x4_t)a, (float32x4_t)b}};     /* vst2q is a macro in Clang: no commas inside */
    vst2q_f32(p, pair);
#elif defined(ISA_NEON)
    float64x2x2_t pair = {{(float64x2_t)a, (float64x2_t)b}};
    vst2q_f64(p, pair);
#else
    for (int i = 0; i < LANES; i++) p[2 * i] = lane(a, i), p[2 * i + 1] = lane(b, i);
#endif
}

#if !defined(ISA_AVX2) && !defined(ISA_AVX512)
INLINE void stream2(real *p, V a, V b) { store2(p, a, b); }
#endif

/* ---- a square block of LANES vectors: rows become columns ---- */
#if defined(ISA_AVX2) && REAL_BITS == 32
INLINE void transpose(V block[8])
{
    __m256 pair[8], four[8];
    for (int i = 0; i < 4; i++) {                               /* pairs of rows, then of pairs, then of halves */
        pair[2 * i] = _mm256_unpacklo_ps((__m256)block[2 * i], (__m256)block[2 * i + 1]);
        pair[2 * i + 1] = _mm256_unpackhi_ps((__m256)block[2 * i], (__m256)block[2 * i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        four[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        four[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xee);
        four[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        four[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        block[i] = (V)_mm256_permute2f128_ps(four[i], four[i + 4], 0x20);
        block[i + 4] = (V)_mm256_permute2f128_ps(four[i], four[i + 4], 0x31);
    }
}
#elif defined(ISA_AVX2)
INLINE void transpose(V block[4])
{
    __m256d a = _mm256_unpacklo_pd((__m256d)block[0], (__m256d)block[1]);
    __m256d b = _mm256_unpackhi_pd((__m256d)block[0], (__m256d)block[1]);
    __m256d c = _mm256_unpacklo_pd((__m256d)block[2], (__m256d)block[3]);
    __m256d d = _mm256_unpackhi_pd((__m256d)block[2], (__m256d)block[3]);
    block[0] = (V)_mm256_permute2f128_pd(a, c, 0x20), block[1] = (V)_mm256_permute2f128_pd(b, d, 0x20);
    block[2] = (V)_mm256_permute2f128_pd(a, c, 0x31), block[3] = (V)_mm256_permute2f128_pd(b, d, 0x31);
}
#elif defined(ISA_NEON) && REAL_BITS == 32
INLINE void transpose(V block[4])
{
    float32x4x2_t a = vtrnq_f32((float32x4_t)block[0], (float32x4_t)block[1]);
    float32x4x2_t b = vtrnq_f32((float32x4_t)block[2], (float32x4_t)block[3]);
    block[0] = (V)vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    block[1] = (V)vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    block[2] = (V)vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    block[3] = (V)vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}
#elif defined(ISA_NEON)
INLINE void transpose(V block[2])
{
    float64x2_t a = (float64x2_t)block[0], b = (float64x2_t)block[1];
    block[0] = (V)vzip1q_f64(a, b), block[1] = (V)vzip2q_f64(a, b);
}
#elif !defined(ISA_AVX512)                                       /* which has its own at the end of this file */
INLINE void transpose(V *block)
{
    real rows[LANES][LANES], columns[LANES][LANES];
    for (int i = 0; i < LANES; i++) store(rows[i], block[i]);
    for (int i = 0; i < LANES; i++) for (int j = 0; j < LANES; j++) columns[i][j] = rows[j][i];
    for (int i = 0; i < LANES; i++) block[i] = load(columns[i]);
}
#endif

/* ---- columns: LANES rows in memory, one vector per column in registers ---- */
#ifdef ISA_SCALAR
enum { COLUMNS = 1 };
INLINE void load_columns(V *x, const real *p, size_t stride) { (void)stride, x[0] = p[0]; }
INLINE void store_columns(real *p, size_t stride, V *x) { (void)stride, p[0] = x[0]; }
#else
enum { COLUMNS = 16 / sizeof(real) };                           /* what one 128-bit load takes from a row */
INLINE V load_quads(const real *p, size_t step)                 /* 128 bits each from p, p + step, p + 2 step, ... */
{
#if defined(ISA_AVX2)
    __m128 low = _mm_loadu_ps((const float *)p), high = _mm_loadu_ps((const float *)(p + step));
    return (V)_mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
#elif defined(ISA_AVX512)
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps((const float *)p));
    x = _mm512_insertf32x4(x, _mm_loadu_ps((const float *)(p + step)), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps((const float *)(p + 2 * step)), 2);
    return (V)_mm512_insertf32x4(x, _mm_loadu_ps((const float *)(p + 3 * step)), 3);
#else
    (void)step;
    return load(p);
#endif
}
INLINE void store_quads(real *p, size_t step, V x)
{
#if defined(ISA_AVX2)
    _mm_storeu_ps((float *)p, _mm256_castps256_ps128((__m256)x));
    _mm_storeu_ps((float *)(p + step), _mm256_extractf128_ps((__m256)x, 1));
#elif defined(ISA_AVX512)
    _mm_storeu_ps((float *)p, _mm512_castps512_ps128((__m512)x));
    _mm_storeu_ps((float *)(p + step), _mm512_extractf32x4_ps((__m512)x, 1));
    _mm_storeu_ps((float *)(p + 2 * step), _mm512_extractf32x4_ps((__m512)x, 2));
    _mm_storeu_ps((float *)(p + 3 * step), _mm512_extractf32x4_ps((__m512)x, 3));
#else
    (void)step;
    store(p, x);
#endif
}
/* (a0 b0 a1 b1), (a2 b2 a3 b3) in every 128 bits, the unit being a real */
INLINE Pair zip_quads(V a, V b)
{
#if defined(ISA_AVX2) && REAL_BITS == 32
    return (Pair){(V)_mm256_unpacklo_ps((__m256)a, (__m256)b), (V)_mm256_unpackhi_ps((__m256)a, (__m256)b)};
#elif defined(ISA_AVX2)
    return (Pair){(V)_mm256_unpacklo_pd((__m256d)a, (__m256d)b), (V)_mm256_unpackhi_pd((__m256d)a, (__m256d)b)};
#elif defined(ISA_AVX512) && REAL_BITS == 32
    return (Pair){(V)_mm512_unpacklo_ps((__m512)a, (__m512)b), (V)_mm512_unpackhi_ps((__m512)a, (__m512)b)};
#elif defined(ISA_AVX512)
    return (Pair){(V)_mm512_unpacklo_pd((__m512d)a, (__m512d)b), (V)_mm512_unpackhi_pd((__m512d)a, (__m512d)b)};
#elif REAL_BITS == 32
    return (Pair){(V)vzip1q_f32((float32x4_t)a, (float32x4_t)b), (V)vzip2q_f32((float32x4_t)a, (float32x4_t)b)};
#else
    return (Pair){(V)vzip1q_f64((float64x2_t)a, (float64x2_t)b), (V)vzip2q_f64((float64x2_t)a, (float64x2_t)b)};
#endif
}
#if REAL_BITS == 32
INLINE Pair zip_halves(V a, V b)                                /* (a0 a1 b0 b1), (a2 a3 b2 b3) in every 128 bits */
{
#if defined(ISA_AVX2)
    return (Pair){(V)_mm256_unpacklo_pd((__m256d)a, (__m256d)b), (V)_mm256_unpackhi_pd((__m256d)a, (__m256d)b)};
#elif defined(ISA_AVX512)
    return (Pair){(V)_mm512_unpacklo_pd((__m512d)a, (__m512d)b), (V)_mm512_unpackhi_pd((__m512d)a, (__m512d)b)};
#else
    return (Pair){(V)vzip1q_f64((float64x2_t)a, (float64x2_t)b), (V)vzip2q_f64((float64x2_t)a, (float64x2_t)b)};
#endif
}
#endif
INLINE void transpose_quads(V *x)                               /* COLUMNS x COLUMNS in every 128 bits */
{
#if REAL_BITS == 32
    Pair even = zip_quads(x[0], x[1]), odd = zip_quads(x[2], x[3]);
    Pair front = zip_halves(even.a, odd.a), back = zip_halves(even.b, odd.b);
    x[0] = front.a, x[1] = front.b, x[2] = back.a, x[3] = back.b;
#else
    Pair columns = zip_quads(x[0], x[1]);
    x[0] = columns.a, x[1] = columns.b;
#endif
}
/* COLUMNS columns of LANES rows that lie `stride` apart. */
INLINE void load_columns(V *x, const real *p, size_t stride)
{
    UNROLLED for (int i = 0; i < COLUMNS; i++) x[i] = load_quads(p + (size_t)i * stride, COLUMNS * stride);
    transpose_quads(x);
}
INLINE void store_columns(real *p, size_t stride, V *x)
{
    transpose_quads(x);
    UNROLLED for (int i = 0; i < COLUMNS; i++) store_quads(p + (size_t)i * stride, COLUMNS * stride, x[i]);
}
#endif

/* ---- a square block on AVX-512: quads within 128 bits, then the 128 bits ---- */
#ifdef ISA_AVX512
#define QUADS(a, b, order) (V)_mm512_shuffle_f32x4((__m512)(a), (__m512)(b), order)
INLINE void transpose(V *block)
{
    UNROLLED for (int i = 0; i < LANES; i += COLUMNS) transpose_quads(block + i);
    UNROLLED for (int i = 0; i < COLUMNS; i++) {
        V *x = block + i;
        V a = QUADS(x[0], x[COLUMNS], 0x44), b = QUADS(x[0], x[COLUMNS], 0xee);
        V c = QUADS(x[2 * COLUMNS], x[3 * COLUMNS], 0x44), d = QUADS(x[2 * COLUMNS], x[3 * COLUMNS], 0xee);
        x[0] = QUADS(a, c, 0x88), x[COLUMNS] = QUADS(a, c, 0xdd);
        x[2 * COLUMNS] = QUADS(b, d, 0x88), x[3 * COLUMNS] = QUADS(b, d, 0xdd);
    }
}
#undef QUADS
#endif
#endif
