/* vmath.h: the mathematical functions on V.
 *
 * Method, the same everywhere: an exact reduction of the argument, a minimax polynomial (Remez exchange in 50-digit
 * arithmetic, coefficients rounded to the real type; interval and maximal error stand beside each table), an exact
 * reconstruction. Reductions split their constants (Cody and Waite, Software Manual for the Elementary Functions,
 * 1980), so that they are exact without fused multiply-add as well. The only branches are those that next to no lane
 * takes. functions.h states a bound in ulp for each function, and tests/test_vmath.py holds every build to it. */
#ifndef VMATH_H
#define VMATH_H

#if REAL_BITS == 32
enum { MANTISSA = 23, BIAS = 127 };
#else
enum { MANTISSA = 52, BIAS = 1023 };
#endif
#define INF splat((real)INFINITY)
#define NOT_A_NUMBER splat((real)NAN)

/* c[0] + c[1] x + ... + c[n - 1] x^(n - 1): Horner's rule in x^4 on blocks of four that do not wait for each other. */
INLINE V block(V x, V x2, const real *c, int n)
{
    V low = n > 1 ? fma_(splat(c[1]), x, splat(c[0])) : splat(c[0]);
    return n < 3 ? low : fma_(n > 3 ? fma_(splat(c[3]), x, splat(c[2])) : splat(c[2]), x2, low);
}
INLINE V poly(V x, const real *c, int n)
{
    V x2 = x * x, x4 = x2 * x2;
    int i = (n - 1) / 4 * 4;
    V y = block(x, x2, c + i, n - i);
    UNROLLED for (i -= 4; i >= 0; i -= 4) y = fma_(y, x4, block(x, x2, c + i, 4));
    return y;
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
INLINE V whole_real(I n) { return as_real(n + as_int(ROUNDER)) - ROUNDER; }    /* exact below 2^(MANTISSA - 1) */

/* x = n ln 2 + r, |r| <= ln 2 / 2; the low bits of `bits` are n + bias, ready to be shifted into an exponent field.
 * Adding 1.5 * 2^mantissa rounds to a whole number and leaves it in the low bits: no conversion is needed. */
typedef struct { V n, bend, expm1; I bits; } ExpParts;         /* expm1 = e^r - 1 = r + bend */
INLINE ExpParts exp_parts(V x, V tail, int bias)                /* of x + tail, |tail| far below 1 */
{
    V magic = ROUNDER + splat((real)bias);
    V shifted = fma_(x, C(LOG2_E), magic), n = shifted - magic;
    V high = fma_(n, C(-LN2_HI), x), low = fma_(n, C(-LN2_LO), tail), r = high + low;      /* high is exact */
    V r2 = r * r, lead = fma_(r2, fma_(splat(exp_table[1]), r, splat(exp_table[0])), low);
    V bend = fma_(r2 * r2, poly(r, exp_table + 2, sizeof exp_table / sizeof(real) - 2), lead);
    return (ExpParts){n, bend, high + bend, as_int(shifted)};
}
/* The same in fewer steps, r rounded once: e^r to 1.03 ulp instead of 0.88, where an exponential is but a term. */
INLINE ExpParts exp_parts_short(V x, V magic)                   /* magic: ROUNDER + bias */
{
    V shifted = fma_(x, C(LOG2_E), magic), n = shifted - magic;
    V r = fma_(n, C(-LN2_LO), fma_(n, C(-LN2_HI), x)), r2 = r * r;
    V part = fma_(r2, poly(r, exp_table + 2, sizeof exp_table / sizeof(real) - 2), block(r, r2, exp_table, 2));
    return (ExpParts){n, r2 * part, fma_(r2, part, r), as_int(shifted)};
}
INLINE V power_of_two(I biased) { return as_real(shift_left(biased, MANTISSA)); }

/* Up to which size a logit is ordinary, and one whose exponential needs no clamp and a single power of two. */
#define ORDINARY 0x1p20
#ifdef ISA_AVX512
#define ORDINARY_EXP ORDINARY                                   /* where the machine scales by any power of two */
#else
#define ORDINARY_EXP (REAL_BITS == 32 ? 50 : 600)               /* far from what is rounded twice, without fma */
#endif
INLINE V exp_whole(ExpParts p)                                  /* from parts with 2 BIAS */
{
#ifdef ISA_AVX512
    return scalef(C(1) + p.expm1, p.n);
#else
    I half = as_int(fma_(p.n, C(0.5), ROUNDER + C(BIAS)));      /* 2^n in two steps: n reaches past either end */
    V scale = power_of_two(half);
    return fma_(scale, p.expm1, scale) * power_of_two(p.bits - half);
#endif
}
INLINE V clamped(V x) { return max_(min_(x, C(EXP_HIGH)), C(EXP_LOW)); }
INLINE V vexp(V x) { return exp_whole(exp_parts(clamped(x), C(0), 2 * BIAS)); }
INLINE V exp_short(V x) { return exp_whole(exp_parts_short(clamped(x), ROUNDER + C(2 * BIAS))); }
/* The same for x + tail where x <= 0: there one power of two, lifted above the denormals, and a constant are enough. */
enum { RAISE = REAL_BITS == 32 ? 64 : 512 };
#define LOWER C(REAL_BITS == 32 ? 0x1p-64 : 0x1p-512)
#ifdef ISA_AVX512
enum { LIFT = 0 };                                              /* where the machine scales by itself */
#else
enum { LIFT = RAISE };
#endif
#define DROP (LIFT ? LOWER : C(1))
INLINE V exp_join(ExpParts p)                                   /* e^(x + tail) 2^LIFT */
{
#ifdef ISA_AVX512
    return scalef(C(1) + p.expm1, p.n);
#else
    V scale = power_of_two(p.bits);
    return fma_(scale, p.expm1, scale);
#endif
}
INLINE V exp_less(V x, I power)                                 /* e^x 2^(LIFT - power), short */
{
#ifdef ISA_AVX512
    ExpParts p = exp_parts_short(x, ROUNDER + C(BIAS));
    return scalef(C(1) + p.expm1, p.n - whole_real(power));
#else
    return exp_join(exp_parts_short(x, as_real(as_int(ROUNDER + C(BIAS + LIFT)) - power)));     /* a whole number */
#endif
}
INLINE V exp_ordinary(V x)                                      /* exp_short of an ordinary x */
{
    return exp_join(exp_parts_short(x, ROUNDER + C(BIAS)));
}
INLINE V exp_lifted(V x, V tail)                                /* exp(x + tail) / DROP */
{
    return exp_join(exp_parts(max_(x, C(EXP_LOW)), tail, BIAS + LIFT));
}
INLINE V exp_nonpositive(V x) { return exp_lifted(x, C(0)) * DROP; }
INLINE V expm1_nonpositive(V x)
{
    ExpParts p = exp_parts(max_(x, C(-40)), C(0), BIAS);              /* below -40 it is -1 in either real */
    V scale = power_of_two(p.bits);
    return fma_(scale, p.expm1, scale - C(1));
}
INLINE V vexpm1(V x)
{
    ExpParts p = exp_parts(max_(min_(x, C(EXP_HIGH)), C(-40)), C(0), BIAS - 1);
    V scale = power_of_two(p.bits);                             /* half of 2^n, which can overflow before e^x does */
    V y = C(2) * fma_(scale, p.expm1, scale - C(0.5));
    return select(abs_(x) < C(REAL_EPSILON / 4), x, y);         /* keeps -0 and the last bit of denormals */
}
/* t = exp(-2|x|):  tanh|x| = 1 - 2t/(1 + t) where t is small, (1 - t)/(1 + t) in between, and next to 0, with
 * expm1(-2|x|) = -2|x| + bend,  |x| - (bend + |x| expm1(-2|x|))/(1 + t): what is divided is small beside the result. */
INLINE V vtanh(V x)
{
    V a = abs_(x);
    ExpParts p = exp_parts(max_(C(-2) * a, C(-40)), C(0), BIAS);
    V scale = power_of_two(p.bits), t = fma_(scale, p.expm1, scale);
    V plus = fma_(scale, p.expm1, scale + C(1)), minus = fma_(scale, p.expm1, scale - C(1));
    Mask far = t < C(0.25), near = p.n == C(0);
    V part = select(far, C(2) * t, select(near, fma_(a, p.expm1, p.bend), minus)) / plus;
    return copysign_(select(far, C(1), select(near, a, C(0))) - part, x);
}

/* ---- logarithm ---- */
/* x = 2^e (1 + f) with 1 + f in [sqrt 1/2, sqrt 2]. */
typedef struct { V e, f, lost; I biased; } LogParts;             /* lost: what f lacks, only after log1p_parts */
INLINE LogParts log_parts(V x)
{
    I root = as_int(C(0.70710678118654752440)), one = as_int(C(1));
    I bits = as_int(x) + (one - root);
    I biased = shift_right(bits, MANTISSA);
    V e = as_real(biased | as_int(C(REAL_BITS == 32 ? 0x1p23 : 0x1p52)))
        - C(REAL_BITS == 32 ? 0x1p23 + BIAS : 0x1p52 + BIAS);
    V m = as_real((bits & isplat(((ireal)1 << MANTISSA) - 1)) + root);
    return (LogParts){e, m - C(1), C(0), biased};
}
/* log(1 + f) - f + more for 1 + f in [sqrt 1/2, sqrt 2]. */
INLINE V log1pmx_plus(V f, V more)
{
    V f2 = f * f;
#if REAL_BITS == 32
    /* (log(1 + f) - f + f^2/2) / f^3; relative error of log(1 + f) 7.3e-9 */
    static const real table[] = {0.3333333135, -0.2500082254, 0.2000122815, -0.1662333608, 0.1420171857,
        -0.1316036731, 0.1276196539, -0.0763447806};
    return fma_(f2 * f, poly(f, table, sizeof table / sizeof(real)), fma_(C(-0.5), f2, more));
#else
    /* s = f/(2 + f): log(1 + f) = 2 atanh s (as in fdlibm's e_log.c); (2 atanh(s)/s - 2)/s^2 in s^2 on |s| <= 0.1718;
     * relative error 3.3e-18 */
    static const real table[] = {0.666666666666673513, 0.399999999994074762, 0.28571428744143168, 0.222221983783263854,
        0.181835751725128891, 0.153137555882773557, 0.14799067807818081};
    V s = f / (C(2) + f), s2 = s * s, half = C(0.5) * f2;
    return fma_(s, fma_(s2, poly(s2, table, sizeof table / sizeof(real)), half), more - half);
#endif
}
INLINE V log_join(V e, V f)                                     /* e ln 2 + log(1 + f) */
{
    return fma_(e, C(LN2_HI), f + log1pmx_plus(f, e * C(LN2_LO)));
}
/* The logarithm's limits as u goes to 0 from above, and beyond: -inf, then NaN; and what it is at infinity. */
INLINE V log_limits(V u, V y, V at_infinity)
{
    y = select(u > C(0), y, select(u == C(0), -INF, NOT_A_NUMBER));
    return select(u == INF, at_infinity, y);
}
typedef struct { V x, shift; } Lifted;                          /* x 2^shift, out of the denormals */
INLINE Lifted lift(V x)
{
    Mask small = x < C(REAL_MIN);
    return (Lifted){select(small, x * C(REAL_BITS == 32 ? 0x1p23 : 0x1p52), x), select(small, C(MANTISSA), C(0))};
}
INLINE LogParts log_parts_lifted(V x)
{
    Lifted l = lift(x);
    LogParts p = log_parts(l.x);
    p.e = p.e - l.shift;
    return p;
}
INLINE V vlog(V x)                                              /* unusual numbers cost a branch, rarely taken */
{
    int unusual = any_lane(negate(both(x >= C(REAL_MIN), x <= C(REAL_MAX))));
    Lifted l = {x, C(0)};
    if (unusual) l = lift(x);
    LogParts p = log_parts(l.x);
    V y = log_join(p.e - l.shift, p.f);
    return unusual ? log_limits(x, y, x) : y;
}
INLINE V log_of(V x, int ordinary)                              /* ordinary: a normal number */
{
    if (!ordinary) return vlog(x);
    LogParts p = log_parts(x);
    return log_join(p.e, p.f);
}
/* 1 + x = 2^e (1 + f) with the rounding error of 1 + x carried into f. */
INLINE LogParts log1p_parts(V x)
{
    Exact u = two_sum(C(1), x);
    LogParts p = log_parts(u.sum);
    V scale = power_of_two(isplat(2 * BIAS + MANTISSA) - p.biased);       /* 2^(MANTISSA - e): stays finite */
    V tail = u.error * scale * C(REAL_BITS == 32 ? 0x1p-23 : 0x1p-52), f = p.f + tail;
    return (LogParts){p.e, f, tail - (f - p.f), p.biased};
}
INLINE V vlog1p(V x)
{
    LogParts p = log1p_parts(x);
    return log_limits(C(1) + x, select(x == C(0), x, log_join(p.e, p.f)), x);     /* the select keeps -0 */
}
/* log(1 + x) - x without cancellation, relative to its own size also near 0 */
INLINE V log1pmx_join(LogParts p, V x)
{
    return (fma_(p.e, C(LN2_HI), -x) + p.f) + log1pmx_plus(p.f, fma_(p.e, C(LN2_LO), p.lost));
}
INLINE V vlog1pmx(V x)
{
    LogParts p = log1p_parts(x);
    return log_limits(C(1) + x, log1pmx_join(p, x), -x);
}
/* log(1 + t) for t in [0, 1], half of softplus, as t - t^2 h(1 - t): in powers of 1 - t the large coefficients of
 * h(1 - t) = (t - log(1 + t)) / t^2 are all positive, and nothing cancels. Relative error 4.3e-8 and 4.5e-17. */
INLINE V log1p_unit_of(V t, V rest)                             /* rest = 1 - t */
{
#if REAL_BITS == 32
    static const real table[] = {0.3068527877, 0.1137092039, 0.04547034949, 0.0198828131, 0.00473337248, 0.01147113182,
        -0.007488033269, 0.005364849232};
#else
    static const real table[] = {0.306852819440054658, 0.11370563888011509, 0.0455584583193447759,
        0.0190779444733587926, 0.00822242914672966646, 0.00361694179587000253, 0.00161526726027893912,
        0.000732834246024238441, 0.000317770740862634955, 0.000224114506996445887, -0.000173986447525236295,
        0.00068332501558975565, -0.00131466754421229464, 0.00210123029913644212, -0.00251301704195274834,
        0.00227136547697906997, -0.00148975647565719382, 0.000675467480636238291, -0.000189509751438072686,
        0.0000253301788033698726};
#endif
    return fma_(-(t * t), poly(rest, table, sizeof table / sizeof(real)), t);
}
INLINE V log1p_unit(V t) { return log1p_unit_of(t, C(1) - t); }

/* e^-(x + tail) and 1 - e^-(x + tail) for x >= 0, |tail| far below 1, from one exponential; and the log of the latter: of
 * itself up to log 2, log1p(-e^-x) beyond, which is the same with what the rounding to 1 - e^-x has lost. */
typedef struct { V rest, share, raised; } Decay;                /* raised = rest / LOWER */
#define DECAY_END C(EXP_LOW - 8)                                /* x e^-x too is 0 beyond */
INLINE Decay decay_of(V x, V tail)
{
    ExpParts p = exp_parts(max_(-x, DECAY_END), -tail, BIAS + LIFT);
#ifdef ISA_AVX512
    V some = C(1) + p.expm1, scale = scalef(C(1), p.n), rest = scalef(some, p.n), raised = scalef(some, p.n + C(RAISE));
#else
    V lifted = power_of_two(p.bits), raised = fma_(lifted, p.expm1, lifted), rest = raised * DROP, scale = lifted * DROP;
#endif
    return (Decay){rest, fma_(scale, -p.expm1, C(1) - scale), raised};
}
INLINE V decay_log_share(V x, Decay d)
{
    V lost = select(x < C(0.69314718055994530942), C(0), (C(1) - d.share) - d.rest);
    LogParts p = log_parts_lifted(d.share);
    V y = log_join(p.e, fma_(lost, power_of_two(isplat(2 * BIAS) - p.biased), p.f));
    return select(x > C(0), y, select(x == C(0), -INF, NOT_A_NUMBER));
}
INLINE V vlog1mexp(V x) { return decay_log_share(x, decay_of(x, C(0))); }        /* log(1 - e^-x), x > 0 */

/* ---- the logistic family: sigmoid, its complement and softplus from one exponential ---- */
typedef struct { V t, log1p_t, sigmoid, rest, softplus; } Logistic;     /* t = exp(-|z|), rest = 1 - sigmoid */
INLINE Logistic logistic_from(V z, V lifted)     /* lifted: exp(-|z|) / DROP */
{
    V t = lifted * DROP;
    V l = log1p_unit_of(t, fma_(lifted, -DROP, C(1))), big = C(1) / fma_(lifted, DROP, C(1)), small = opaque(t * big);
    V sigmoid = select(z > C(0), big, small), rest = as_real(as_int(sigmoid) ^ as_int(big) ^ as_int(small));    /* the other */
    return (Logistic){.t = t, .log1p_t = l, .sigmoid = sigmoid, .rest = rest, .softplus = max_(z, C(0)) + l};
}
INLINE V minus_abs(V z) { return as_real(as_int(z) | as_int(C(-0.0))); }
INLINE V odds_lifted(V z)                        /* exp(-|z|) / DROP */
{
    return exp_join(exp_parts_short(max_(minus_abs(z), C(EXP_LOW)), ROUNDER + C(BIAS + LIFT)));
}
INLINE Logistic logistic(V z) { return logistic_from(z, odds_lifted(z)); }
INLINE Logistic logistic_of_sum(V a, V b)        /* of a + b, whose rounding error would be a relative one of the result */
{
    Exact z = two_sum(a, b);
    V tail = select(z.sum > C(0), -z.error, z.error);
    Mask inside = abs_(z.sum) < C(-EXP_LOW);     /* beyond, t is 0 and the error may be anything */
    return logistic_from(z.sum, exp_lifted(minus_abs(z.sum), select(inside, tail, C(0))));
}
INLINE V vsigmoid(V z) { return logistic(z).sigmoid; }
/* log softplus(z); in the left tail softplus is e^z - e^2z/2 + ..., and its log is taken before it can underflow */
INLINE V log_softplus(V z, Logistic s)
{
    return select(z < C(REAL_BITS == 32 ? -16 : -36), z - C(0.5) * s.t, vlog(s.softplus));
}
#endif
