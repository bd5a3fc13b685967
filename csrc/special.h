/* special.h: the gamma and normal functions on V, for arguments x > 0 and for all x.
 *
 * Each is too large to be inlined into every kernel: one copy per object (APART). All gamma functions rest on their
 * Stirling series, taken from 3 on as minimax polynomials in 1/x^2; below 3 the argument is shifted by 3 with the
 * recurrence (Abramowitz and Stegun 6.1.15, 6.3.5, 6.4.6; series 6.1.41, 6.3.18, 6.4.12). What families need are
 * differences such as log Gamma(k) - k log k + k, in which the large terms cancel: those are formed on paper, not
 * in floating point, by way of log(1 + x) - x. */
#ifndef SPECIAL_H
#define SPECIAL_H

/* For what is rarely taken: a call is cheaper than a copy. */
APART V exp_called(V x) { return vexp(x); }
APART V log_called(V x) { return vlog(x); }
APART V log1p_called(V x) { return vlog1p(x); }
APART V log1pmx_called(V x) { return vlog1pmx(x); }
APART V expm1_called(V x) { return vexpm1(x); }
APART V log1mexp_called(V x) { return vlog1mexp(x); }
APART Logistic logistic_called(V z) { return logistic(z); }

#define HALF_LOG_2PI 0.91893853320467274178
#define INVERSE_SQRT_2PI 0.39894228040143267794

/* The logarithm as sum + error, with a few more bits than V has */
INLINE Exact log_exact(LogParts p)
{
    V head = p.e * C(LN2_HI), sum = head + p.f;
    return (Exact){sum, (p.f - (sum - head)) + log1pmx_plus(p.f, p.e * C(LN2_LO))};
}
APART Exact log_exact_called(V x) { return log_exact(log_parts_lifted(x)); }

/* ---- the rests of Stirling's series, x >= 3 ---- */
/* log Gamma(x) - (x - 1/2) log x + x - log(2 pi)/2 = 1/(12 x) - ...; relative error 4.4e-8 and 2.6e-16 */
INLINE V lgamma_rest(V x)
{
#if REAL_BITS == 32
    static const real table[] = {0.08333333582, -0.002777595073, 0.000784928503, -0.0004556806816};
#else
    static const real table[] = {0.0833333333333333148, -0.00277777777773118842, 0.000793650775729421256,
        -0.000595235387189799918, 0.000841538132534961811, -0.00190755329288006046, 0.00610707229088033095,
        -0.0232083830984504379, 0.0827380353184394984, -0.213024564632374014, 0.272438707734787344};
#endif
    V inverse = C(1) / x;
    return inverse * poly(inverse * inverse, table, sizeof table / sizeof(real));
}
/* log x - 1/(2 x) - digamma(x) = 1/(12 x^2) - ...; relative error 6.0e-8 and 7.2e-16 */
INLINE V digamma_rest(V x)
{
#if REAL_BITS == 32
    static const real table[] = {0.08333332837, -0.008331825957, 0.003895485774, -0.002978091361};
#else
    static const real table[] = {0.0833333333333332732, -0.00833333333318443323, 0.0039682538997098081,
        -0.00416665422503669901, 0.00757457618726622636, -0.0210252178029260786, 0.0807975937353959811,
        -0.376922621424633675, 1.7740003435844045, -6.8939474639583791, 17.9692630415402519, -22.4509409620376914};
#endif
    V inverse = C(1) / x, w = inverse * inverse;
    return w * poly(w, table, sizeof table / sizeof(real));
}
/* x (x trigamma(x) - 1) = 1/2 + 1/(6 x) - ...; relative error of what follows 1/2: 3.0e-7 and 1.1e-15 */
INLINE V trigamma_rest(V x)
{
#if REAL_BITS == 32
    static const real table[] = {0.1666666269, -0.0333195664, 0.02313758433, -0.02211491391};
#else
    static const real table[] = {0.166666666666666491, -0.0333333333327468853, 0.0238095234913017484,
        -0.0333332650495349672, 0.0757498738002261029, -0.25258666097875565, 1.14281979889294361, -6.3325930612163388,
        36.9970315519862325, -192.822383183904634, 767.077045134137393, -1964.91744737345994, 2368.03232686676074};
#endif
    V inverse = C(1) / x;
    return fma_(inverse, poly(inverse * inverse, table, sizeof table / sizeof(real)), C(0.5));
}

/* ---- log Gamma, digamma, trigamma ---- */
INLINE V harmonic_rest(V x)                                     /* 1/(x + 1) + 1/(x + 2) */
{
    return fma_(C(2), x, C(3)) / ((x + C(1)) * (x + C(2)));
}
/* log Gamma(2 + d) = d slope + bend, a polynomial on |d| <= 1/2 */
typedef struct { V slope, bend; } NearTwo;
INLINE NearTwo lgamma_near_two(V d)
{
#if REAL_BITS == 32
    /* relative error 1.9e-8 */
    static const real table[] = {0.4227843285, 0.3224670291, -0.06735147536, 0.02058136836, -0.007401840761,
        0.002880194923, -0.00108876708, 0.0005688119563, -0.0004419725738};
#else
    /* relative error 1.8e-17 */
    static const real table[] = {0.422784335098467134, 0.322467033424113314, -0.0673523010531957567,
        0.0205808084277659606, -0.00738555102892520226, 0.00289051033184163251, -0.00119275390132927983,
        0.000509669495114125726, -0.000223154972262749841, 0.000099457944170333666, -0.0000449237719283581856,
        0.0000205035440643154707, -9.45607885277978692e-6, 4.39352048947464555e-6, -1.97482662957585584e-6,
        8.99902595521372226e-7, -5.80611985555788778e-7, 2.97704975499604775e-7};
#endif
    return (NearTwo){splat(table[0]), d * d * poly(d, table + 1, sizeof table / sizeof(real) - 1)};
}
/* Below 3 x is brought next to 2 by a factor, x (x + 1), x or x - 1; so the zeros at 1 and 2 keep their relative
 * accuracy. */
APART V vlgamma(V x)
{
    Mask far = x >= C(3), half = x < C(0.5), one = x < C(1.5), two = x < C(2.5);
    V base = select(half, C(0), select(one, C(1), select(two, C(2), C(3)))), d = x - base;
    V factor = select(half, x * (x + C(1)), select(one, x, select(two, C(1), x - C(1))));
    Exact log = log_exact(log_parts_lifted(select(far, x, factor)));
    NearTwo two_on = lgamma_near_two(d);
    V below = fma_(d, two_on.slope, -log.sum) + (two_on.bend - log.error);
    V near = select(one, below, fma_(d, two_on.slope, log.sum) + (two_on.bend + log.error));
    V stirling = fma_(x - C(0.5), (log.sum - C(1)) + log.error, C(HALF_LOG_2PI - 0.5) + lgamma_rest(x));
    V y = select(far, stirling, near);
    return select(x > C(0), select(x == INF, x, y), select(x == C(0), INF, NOT_A_NUMBER));
}
/* log y!, y >= 0. Below 3/2, where rounding 1 + y would cost digits, it comes from y or y - 1 as they are. */
APART V vlog_factorial(V y)
{
    Mask low = y < C(0.5);
    V d = select(low, y, y - C(1));
    NearTwo two_on = lgamma_near_two(d);
    LogParts p = log1p_parts(select(low, y, C(0)));
    Exact log = log_exact(p);
    V near = fma_(d, two_on.slope, -log.sum) + (two_on.bend - (log.error + p.lost));
    Mask high = negate(y < C(1.5));
    return any_lane(high) ? select(high, vlgamma(y + C(1)), near) : near;
}
APART V vdigamma(V x)                                           /* x > 0 */
{
    Mask near = x < C(3);
    V m = select(near, x + C(3), x);
    V first = select(near, C(1) / x, C(0)), others = select(near, harmonic_rest(x), C(0));
    Exact log = log_exact(log_parts(m));
    V y = ((log.sum - first) - others) + (log.error - fma_(C(0.5), C(1) / m, digamma_rest(m)));
    return select(x == INF, x, select(x < C(0), NOT_A_NUMBER, y));
}
SELDOM V vtrigamma(V x)                                          /* x > 0 */
{
    Mask near = x < C(3);
    V m = select(near, x + C(3), x), inverse = C(1) / m;
    V y = inverse * fma_(inverse, trigamma_rest(m), C(1));
    V a = C(1) / x, b = x + C(1), c = x + C(2), bc = C(1) / (b * c);
    V sum = fma_(bc * bc, fma_(b, b, c * c), a * a);            /* 1/x^2 + 1/(x + 1)^2 + 1/(x + 2)^2 */
    return select(x < C(0), NOT_A_NUMBER, y + select(near, sum, C(0)));
}

/* ---- differences of gamma functions ---- */
/* What a Gamma, Beta or any other likelihood needs of a shape k: nll = log Gamma(k) - k log k + k and
 * score = digamma(k) - log k. For Beta, log B(a, b) - a log(a/n) - b log(b/n) = nll(a) + nll(b) - nll(n), n = a + b. */
typedef struct { V nll, score; } GammaShape;
/* nll without the logarithm of the ratio, which is taken once where several shapes are added up */
typedef struct { V rest, ratio, score; } ShapeParts;
INLINE ShapeParts shape_parts(V k)
{
    Mask near = k < C(3);
    V m = select(near, k + C(3), k), shift = select(near, C(3) / k, C(0)), root = sqrt_(m), cube = m * m * m;
    LogParts p = log1p_parts(shift);
    Exact climb = log_exact(p);                                 /* log(m/k) */
    V ratio = select(near, cube, C(1)) / (root * select(near, k * (k + C(1)) * (k + C(2)), C(1)));
    V change = (climb.sum - C(1) / k) + (climb.error + p.lost - harmonic_rest(k));
    return (ShapeParts){ .rest = fma_(k, log1pmx_join(p, shift), C(HALF_LOG_2PI) + lgamma_rest(m)), .ratio = ratio,
                         .score = select(near, change, C(0)) - fma_(C(0.5), C(1) / m, digamma_rest(m)) };
}
APART GammaShape gamma_shape(V k)
{
    ShapeParts s = shape_parts(k);
    LogParts q = log_parts(s.ratio);
    return (GammaShape){ .nll = s.rest + log_join(q.e, q.f), .score = s.score };
}
typedef struct { V nll, a, b, n; } BetaShape;                    /* nll(a) + nll(b) - nll(n); the three scores */
APART BetaShape beta_shape(V a, V b, V n)
{
    ShapeParts s = shape_parts(a), t = shape_parts(b), u = shape_parts(n);
    LogParts q = log_parts(s.ratio * t.ratio / u.ratio);
    return (BetaShape){ .nll = s.rest + (t.rest - u.rest) + log_join(q.e, q.f),
                        .a = s.score, .b = t.score, .n = u.score };
}
/* k^2 trigamma(k) - k: the Fisher information of a log shape */
SELDOM V shape_information(V k)
{
    Mask near = k < C(3);
    V m = select(near, k + C(3), k), rest = trigamma_rest(m);
    V a = k / m, b = k / (k + C(1)), c = k / (k + C(2));
    return select(near, fma_(b, b, C(1)) + (fma_(a * a, rest, c * c) - C(3) * a), rest);
}
/* log Gamma(a + b) - log Gamma(a) - b log a, and its derivative by log a, a (digamma(a + b) - digamma(a)) - b, for
 * a > 0 and b >= 0: the sum of log(1 + j/a) over j < b, and minus the sum of j/(a + j), where b is whole. */
typedef struct { V log, slope; } GammaRatio;
APART GammaRatio gamma_ratio(V a, V b)
{
    Mask near = a < C(3);
    V m = select(near, a + C(3), a), n = m + b, x = b / m;
    LogParts p = log1p_parts(x);
    V bend = log1pmx_join(p, x), half = C(0.5);                 /* at large b/a, log(1 + x) - x would only cancel */
    V log = select(x < C(1.5), fma_(n - half, bend, x * (b - half)), fma_(n - half, log_join(p.e, p.f), -b));
    log = log + (lgamma_rest(n) - lgamma_rest(m));
    V climb = fma_(half, x / n, bend) + (digamma_rest(m) - digamma_rest(n));      /* digamma(n) - digamma(m) - b/m */
    V slope = a * climb;
    if (any_lane(near)) {
        V c = a + b, a1 = a + C(1), a2 = a + C(2), c1 = c + C(1), c2 = c + C(2);
        V shift = b * log1p_called(C(3) / a) - log_called((c / a) * (c1 / a1) * (c2 / a2));
        V sum = (C(3) - b) / c + (a * (C(1) - b) - (C(1) + b)) / (a1 * c1)    /* of 1/c, a/(a1 c1), a/(a2 c2), each - 1/m */
              - (a * (C(1) + b) + C(2) * b + C(4)) / (a2 * c2);
        log = log + select(near, shift, C(0));
        slope = select(near, fma_(b, sum / m, slope), slope);
    }
    return (GammaRatio){log, slope};
}
/* log of the binomial coefficient n over k, 0 <= k <= n: with k <= n - k, every term is of the order of k */
SELDOM V vlog_choose(V n, V k)
{
    k = min_(n - k, k);
    V a = n - k + C(1), b = k + C(1);
    V y = fma_(k, log_called(a / b), gamma_ratio(a, k).log) + (b - gamma_shape(b).nll - log_called(b));
    return select(k == C(0), C(0), y);
}

/* ---- the normal distribution ---- */
INLINE Exact two_prod(V a, V b)                                 /* a b = sum + error exactly */
{
    V product = a * b;
#ifdef ISA_SCALAR
    V split = C(REAL_BITS == 32 ? 0x1p12 + 1 : 0x1p27 + 1);     /* Dekker 1971, for want of a fused multiply-add */
    V a_high = split * a - (split * a - a), b_high = split * b - (split * b - b);
    V a_low = a - a_high, b_low = b - b_high;
    return (Exact){product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low};
#else
    return (Exact){product, fma_(a, b, -product)};
#endif
}
/* (1 - Phi(x)) exp(x^2/2) for 0 <= x <= HUGE_X. With s = 4/(x + 4), this over s is a polynomial (after Shepherd and
 * Laframboise, Math. Comp. 36, 1981), in powers of s - 1/4, where its terms hardly cancel; relative error 6.8e-8 and
 * 1.1e-16 */
#define HUGE_X C(REAL_BITS == 32 ? 1e30 : 1e290)                  /* x^2 is infinite long before */
INLINE V scaled_tail(V x)
{
#if REAL_BITS == 32
    static const real table[] = {0.132075876, 0.1666410416, 0.1863298118, 0.1795280725, 0.1414736807, 0.08063174784,
        0.01972147636, -0.02189212851, -0.03403712437, 0.01630107127, 0.001648099627};
#else
    static const real table[] = {0.132075884308858138, 0.166641096328282612, 0.186328856506981166, 0.179522852860849624,
        0.141532497129351592, 0.0807182257389225943, 0.0184305973739680544, -0.0208167651664852536,
        -0.0251886937424643728, -0.00543589841301696068, 0.0127156644488779259, 0.0111003255347816715,
        -0.00398626504308194005, -0.0109305273409311017, -0.00107921279695341338, 0.00993192447973638599,
        0.00535516011637522139, -0.0126056622502960045, -0.00767533229394717822, 0.0280034679672433139,
        -0.0250241070958026508, 0.0104664067095346439, -0.00177988700639037604};
#endif
    Exact u = two_sum(x, C(4));
    V s = C(4) / u.sum, tail = s * poly(s - C(0.25), table, sizeof table / sizeof(real));
    Exact back = two_prod(s, u.sum);
    V lack = (C(4) - back.sum) - fma_(s, u.error, back.error);  /* the relative error of s, times 4 */
    return fma_(tail * lack, fma_(C(0.55), s, C(0.25)), tail);  /* d log tail / d log s is about 1 + 2.2 s */
}
/* exp(-scale x^2) for x >= 0 and scale 1 or 1/2; the rounding error of x^2, a relative error there, is made good */
INLINE V gauss(V x, real scale)
{
    V limited = min_(x, C(64));                                 /* exp is 0 long before, and NaN stays */
    Exact square = two_prod(limited, limited);
    return exp_lifted(-splat(scale) * square.sum, -splat(scale) * square.error) * DROP;
}
typedef struct { V density, cdf, rest, log_cdf, log_rest, ratio, rest_ratio; } Normal;
/* phi(z), Phi(z), 1 - Phi(z) = Phi(-z), the logarithms of both, and the inverse Mills ratios phi/Phi at z and -z */
APART Normal normal(V z)
{
    V x = abs_(z), scaled = scaled_tail(min_(x, HUGE_X)), bell = gauss(x, (real)0.5);
    V tail = bell * scaled, body = C(1) - tail, density = C(INVERSE_SQRT_2PI) * bell;
    V outer = select(x > HUGE_X, x, C(INVERSE_SQRT_2PI) / scaled), inner = density / body;
    LogParts p = log_parts(scaled), q = log1p_parts(-tail);
    V log_body = log_join(q.e, q.f), log_tail = log_join(p.e, p.f) - C(0.5) * x * x;
    Mask left = z < C(0);
    return (Normal){ .density = density, .cdf = select(left, tail, body), .rest = select(left, body, tail),
                     .log_cdf = select(left, log_tail, log_body), .log_rest = select(left, log_body, log_tail),
                     .ratio = select(left, outer, inner), .rest_ratio = select(left, inner, outer) };
}
SELDOM V verfc(V x)
{
    V a = abs_(x), tail = C(2) * gauss(a, 1) * scaled_tail(C(1.41421356237309504880) * min_(a, C(64)));
    return select(x < C(0), C(2) - tail, tail);
}

/* ---- arc tangent, sine and cosine ---- */
/* (atan x / x - 1) / x^2 in x^2 on [0, 1]; relative error of atan 2.8e-8 and 3.4e-17 */
INLINE V atan_unit(V x)
{
#if REAL_BITS == 32
    static const real table[] = {-0.3333315253, 0.199937731, -0.1421105862, 0.10666015, -0.07552237064, 0.04321212322,
        -0.01636808552, 0.002920730039};
#else
    static const real table[] = {-0.333333333333318604, 0.199999999997550526, -0.142857142713363805,
        0.111111106787883426, -0.0909090123599015087, 0.0769221293654318711, -0.0666586040569916022,
        0.058773079916874478, -0.0523923385498478722, 0.0467395211357000961, -0.0409264384574755738,
        0.0340679078269494826, -0.0258269248279732466, 0.0169781644650286029, -0.00918465557696143339,
        0.00385602703749257387, -0.00116409097981613817, 0.000223026719524062621, -0.0000202589993370422406};
#endif
    V w = x * x;
    return fma_(x * w, poly(w, table, sizeof table / sizeof(real)), x);
}
#define HALF_PI 1.57079632679489661923
INLINE V vatan(V x)
{
    V a = abs_(x);
    Mask far = a > C(1);
    V low = C(REAL_BITS == 32 ? -4.37113900018624e-8 : 6.12323399573676604e-17);          /* pi/2 - HALF_PI rounded */
    V y = atan_unit(select(far, C(1) / a, a));
    return copysign_(select(far, C(HALF_PI) - (y - low), y), x);
}
/* sin x and cos x for |x| <= 1e4 (float32) or 1e5; absolute error below 1.5 ulp of 1. pi/2 in three parts, of which the
 * first two times n are exact. */
typedef struct { V sin, cos; } SinCos;
INLINE SinCos vsincos(V x)
{
#if REAL_BITS == 32
    static const real pi[] = {0x1.92p+0, 0x1.fb4p-12, 0x1.4442d2p-24};
    static const real sine[] = {-0.1666665524, 0.008332155645, -0.00019514632};
    static const real cosine[] = {0.04166664556, -0.001388730947, 2.443241283e-5};
#else
    static const real pi[] = {0x1.921fb54440000p+0, 0x1.68c234c4c0000p-39, 0x1.98a2e03707345p-77};
    static const real sine[] = {-0.166666666666666297, 0.00833333333332200547, -0.000198412698294953216,
        2.75573135875707865e-6, -2.50507423014457357e-8, 1.58959044132878917e-10};
    static const real cosine[] = {0.041666666666666595, -0.00138888888888728953, 0.0000248015872887482303,
        -2.75573141486322574e-7, 2.08756965733664779e-9, -1.13583105136771428e-11};
#endif
    V shifted = fma_(x, C(1 / HALF_PI), ROUNDER), n = shifted - ROUNDER;
    V r = fma_(n, splat(-pi[2]), fma_(n, splat(-pi[1]), fma_(n, splat(-pi[0]), x))), w = r * r;
    V s = fma_(r * w, poly(w, sine, sizeof sine / sizeof(real)), r);
    V c = fma_(w * w, poly(w, cosine, sizeof cosine / sizeof(real)), fma_(C(-0.5), w, C(1)));
    I quadrant = as_int(shifted), bit = as_int(C(-0.0));
    Mask odd = (quadrant & isplat(1)) == isplat(1);
    I sin_sign = shift_left(quadrant, REAL_BITS - 2) & bit;
    I cos_sign = shift_left(quadrant + isplat(1), REAL_BITS - 2) & bit;
    return (SinCos){as_real(as_int(select(odd, c, s)) ^ sin_sign), as_real(as_int(select(odd, s, c)) ^ cos_sign)};
}
#endif
