/* vmath.h: the mathematical functions on V.
 *
 * Method, the same everywhere: an exact reduction of the argument, a minimax polynomial (Remez exchange in 50-digit
 * arithmetic, coefficients rounded to the real type; interval and maximal error stand beside each table), an exact
 * reconstruction. No branches. Reductions split their constants (Cody and Waite, Software Manual for the Elementary
 * Functions, 1980), so that they are exact without fused multiply-add as well.
 * Bounds in ULP stand in the list at the end and are what tests/test_vmath.py holds every build to. */
#ifndef VMATH_H
#define VMATH_H

#if REAL_BITS == 32
enum { MANTISSA = 23, BIAS = 127 };
#else
enum { MANTISSA = 52, BIAS = 1023 };
#endif
#define INF splat((real)INFINITY)
#define NOT_A_NUMBER splat((real)NAN)

/* c[0] + c[1] x + ... + c[n - 1] x^(n - 1) as two interleaved Horner chains in x^2: half the latency. */
INLINE V poly(V x, const real *c, int n)
{
    V x2 = x * x, top = splat(c[n - 1]), next = splat(c[n - 2]);
    for (int i = n - 3; i > 0; i -= 2) {
        top = fma_(top, x2, splat(c[i]));
        next = fma_(next, x2, splat(c[i - 1]));
    }
    return n % 2 ? fma_(fma_(top, x2, splat(c[0])), C(1), next * x) : fma_(top, x, next);
}

typedef struct { V sum, error; } Exact;
INLINE Exact two_sum(V a, V b)                                  /* a + b = sum + error exactly (Knuth) */
{
    V sum = a + b, part = sum - a;
    return (Exact){sum, (a - (sum - part)) + (b - part)};
}

/* ---- exponential ---- */
#if REAL_BITS == 32
#define LN2_HI 0x1.62e4p-1                                      /* 16 bits: n LN2_HI is exact for |n| < 256 */
#define LN2_LO 0x1.7f7d1cf79abc9p-20
#define EXP_LOW -104.0                                          /* exp rounds to 0 below, overflows above EXP_HIGH */
#define EXP_HIGH 89.0
/* (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2; relative error of e^r 3.8e-9 */
static const real exp_table[] = {0.4999999404, 0.1666652113, 0.04166838899, 0.008368724026, 0.001381458831};
#else
#define LN2_HI 0x1.62e42fefa38p-1                               /* 42 bits: n LN2_HI is exact for |n| < 2048 */
#define LN2_LO 0x1.ef35793c7673p-45
#define EXP_LOW -746.0
#define EXP_HIGH 710.0
/* the same; relative error of e^r 9.6e-18 */
static const real exp_table[] = {0.500000000000000999, 0.166666666666666741, 0.0416666666665218774,
    0.00833333333332219803, 0.00138888889478562777, 0.000198412698866182099, 0.0000248014872859869738,
    2.75572423059018138e-6, 2.76326708447496886e-7, 2.51100614961550752e-8};
#endif
#define LOG2_E 1.44269504088896340736

/* x = n ln 2 + r, |r| <= ln 2 / 2; the low bits of `bits` are n + bias, ready to be shifted into an exponent field.
 * Adding 1.5 * 2^mantissa rounds to a whole number and leaves it in the low bits: no conversion is needed. */
typedef struct { V n, r; I bits; } ExpParts;
INLINE ExpParts exp_parts(V x, int bias)
{
    V magic = ROUNDER + splat((real)bias);
    V shifted = fma_(x, C(LOG2_E), magic), n = shifted - magic;
    return (ExpParts){n, fma_(n, C(-LN2_LO), fma_(n, C(-LN2_HI), x)), as_int(shifted)};
}
INLINE V power_of_two(I biased) { return as_real(biased << MANTISSA); }
INLINE V exp_poly(V r) { return fma_(r * r, poly(r, exp_table, sizeof exp_table / sizeof(real)), r); }    /* e^r - 1 */

INLINE V vexp(V x)
{
    ExpParts p = exp_parts(max_(min_(x, C(EXP_HIGH)), C(EXP_LOW)), BIAS);
    V magic = ROUNDER + splat((real)BIAS);
    I half = as_int(fma_(p.n, C(0.5), magic));                  /* 2^n in two steps: n reaches past either end */
    V mantissa = C(1) + exp_poly(p.r);
    return mantissa * power_of_two(half) * power_of_two(p.bits - half + isplat(BIAS));
}
/* The same for x <= 0, where one power of two of n + BIAS/2 and a constant are enough. */
INLINE V exp_nonpositive(V x)
{
    enum { LIFT = REAL_BITS == 32 ? 64 : 512 };
    ExpParts p = exp_parts(max_(x, C(EXP_LOW)), BIAS + LIFT);
    return (C(1) + exp_poly(p.r)) * power_of_two(p.bits) * C(REAL_BITS == 32 ? 0x1p-64 : 0x1p-512);
}
INLINE V expm1_nonpositive(V x)
{
    ExpParts p = exp_parts(max_(x, C(-40)), BIAS);              /* below -40 it is -1 in either real */
    V scale = power_of_two(p.bits);
    return fma_(scale, exp_poly(p.r), scale - C(1));
}
INLINE V vexpm1(V x)
{
    ExpParts p = exp_parts(max_(min_(x, C(EXP_HIGH)), C(-40)), BIAS - 1);
    V scale = power_of_two(p.bits);                             /* half of 2^n, which can overflow before e^x does */
    V y = C(2) * fma_(scale, exp_poly(p.r), scale - C(0.5));
    return select(abs_(x) < C(REAL_EPSILON / 4), x, y);         /* keeps -0 and the last bit of denormals */
}
INLINE V vtanh(V x)
{
    V u = expm1_nonpositive(C(-2) * abs_(x));
    return copysign_(-u / (C(2) + u), x);
}

/* ---- logarithm ---- */
/* x = 2^e (1 + f) with 1 + f in [sqrt 1/2, sqrt 2]. */
typedef struct { V e, f; I biased; } LogParts;
INLINE LogParts log_parts(V x)
{
    I root = as_int(C(0.70710678118654752440)), one = as_int(C(1));
    I bits = as_int(x) + (one - root);
    I biased = shift_right(bits, MANTISSA);
    V e = as_real(biased | as_int(C(REAL_BITS == 32 ? 0x1p23 : 0x1p52)))
        - C(REAL_BITS == 32 ? 0x1p23 + BIAS : 0x1p52 + BIAS);
    V m = as_real((bits & isplat(((ireal)1 << MANTISSA) - 1)) + root);
    return (LogParts){e, m - C(1), biased};
}
/* log(1 + f) - f for 1 + f in [sqrt 1/2, sqrt 2]. */
INLINE V log1pmx_poly(V f)
{
    V f2 = f * f;
#if REAL_BITS == 32
    /* (log(1 + f) - f + f^2/2) / f^3; relative error of log(1 + f) 7.3e-9 */
    static const real table[] = {0.3333333135, -0.2500082254, 0.2000122815, -0.1662333608, 0.1420171857,
        -0.1316036731, 0.1276196539, -0.0763447806};
    return fma_(C(-0.5), f2, f2 * f * poly(f, table, sizeof table / sizeof(real)));
#else
    /* s = f/(2 + f): log(1 + f) = 2 atanh s (as in fdlibm's e_log.c); (2 atanh(s)/s - 2)/s^2 in s^2 on |s| <= 0.1718;
     * relative error 3.3e-18 */
    static const real table[] = {0.666666666666673513, 0.399999999994074762, 0.28571428744143168, 0.222221983783263854,
        0.181835751725128891, 0.153137555882773557, 0.14799067807818081};
    V s = f / (C(2) + f), s2 = s * s, half = C(0.5) * f2;
    return s * fma_(s2, poly(s2, table, sizeof table / sizeof(real)), half) - half;
#endif
}
INLINE V log_join(V e, V f)                                     /* e ln 2 + log(1 + f) */
{
    return fma_(e, C(LN2_HI), f + fma_(e, C(LN2_LO), log1pmx_poly(f)));
}
/* The logarithm's limits: -inf where x is 0, NaN below and for NaN, inf at inf. */
INLINE V log_limits(V x, V y)
{
    y = select(x > C(0), y, select(x == C(0), -INF, NOT_A_NUMBER));
    return select(x == INF, x, y);
}
INLINE V vlog(V x)
{
    Mask small = x < C(REAL_MIN);                            /* denormals: lifted into the normal range first */
    V lift = C(REAL_BITS == 32 ? 0x1p23 : 0x1p52);
    LogParts p = log_parts(select(small, x * lift, x));
    V e = p.e - select(small, C(MANTISSA), C(0));
    return log_limits(x, log_join(e, p.f));
}
/* 1 + x = 2^e (1 + f) with the rounding error of 1 + x carried into f. */
INLINE LogParts log1p_parts(V x)
{
    Exact u = two_sum(C(1), x);
    LogParts p = log_parts(u.sum);
    V scale = power_of_two(isplat(2 * BIAS + MANTISSA) - p.biased);       /* 2^(MANTISSA - e): stays finite */
    p.f = p.f + u.error * scale * C(REAL_BITS == 32 ? 0x1p-23 : 0x1p-52);
    return p;
}
INLINE V vlog1p(V x)
{
    LogParts p = log1p_parts(x);
    V y = select(x == C(0), x, log_join(p.e, p.f));             /* keeps -0 */
    y = select(x > C(-1), y, select(x == C(-1), -INF, NOT_A_NUMBER));
    return select(x == INF, x, y);
}
/* log(1 + x) - x without cancellation, relative to its own size also near 0 */
INLINE V vlog1pmx(V x)
{
    LogParts p = log1p_parts(x);
    V y = (fma_(p.e, C(LN2_HI), -x) + p.f) + fma_(p.e, C(LN2_LO), log1pmx_poly(p.f));
    y = select(x > C(-1), y, select(x == C(-1), -INF, NOT_A_NUMBER));
    return select(x == INF, -x, y);
}
/* log(1 + t) for t in [0, 1]: half of softplus */
INLINE V log1p_unit(V t)
{
#if REAL_BITS == 32
    /* (log(1 + t) - t) / t^2; relative error of log(1 + t) 3.5e-8 */
    static const real table[] = {-0.4999964833, 0.3332132399, -0.2485716641, 0.1915366054, -0.1375381052,
        0.07920458913, -0.03006580099, 0.005364820827};
    return fma_(t * t, poly(t, table, sizeof table / sizeof(real)), t);
#else
    /* as in log1pmx_poly, on s <= 1/3; relative error 7.0e-18 */
    static const real table[] = {0.666666666666663077, 0.400000000001572376, 0.285714285478545382, 0.222222239696959034,
        0.181817439260437447, 0.153865599012739052, 0.13300973848695738, 0.121060843546586236, 0.0834010904654029495,
        0.170185627268822304};
    V s = t / (C(2) + t), s2 = s * s, half = C(0.5) * t * t;
    return t - (half - s * fma_(s2, poly(s2, table, sizeof table / sizeof(real)), half));
#endif
}

/* ---- the logistic family: sigmoid, its complement and softplus from one exponential ---- */
typedef struct { V t, log1p_t, sigmoid, rest, softplus; } Logistic;     /* t = exp(-|z|), rest = 1 - sigmoid */
INLINE Logistic logistic(V z)
{
    V t = exp_nonpositive(-abs_(z)), l = log1p_unit(t), big = C(1) / (C(1) + t), small = t * big;
    Mask positive = z > C(0);
    return (Logistic){ .t = t, .log1p_t = l, .sigmoid = select(positive, big, small),
                       .rest = select(positive, small, big), .softplus = max_(z, C(0)) + l };
}
INLINE V vsigmoid(V z) { return logistic(z).sigmoid; }
INLINE V vsoftplus(V z) { return logistic(z).softplus; }
/* log softplus(z); in the left tail softplus is e^z - e^2z/2 + ..., and its log is taken before it can underflow */
INLINE V log_softplus(V z, Logistic s)
{
    return select(z < C(REAL_BITS == 32 ? -16 : -36), z - C(0.5) * s.t, vlog(s.softplus));
}
INLINE V vlog_softplus(V z) { return log_softplus(z, logistic(z)); }
#endif
