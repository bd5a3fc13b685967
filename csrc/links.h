/* links.h: the maps from logits to parameters, each once. A link says everything that a likelihood may need of it in a
 * form that neither cancels nor overflows; what a likelihood does not read is dead code. */
#ifndef LINKS_H
#define LINKS_H

/* A link of the mean. up = slope / mean and down = slope / rest, the slopes of log mean and of -log rest. */
typedef struct {
    V mean, rest, log_mean, log_rest, inverse;   /* rest = 1 - mean, inverse = 1 / mean */
    V slope, up, down;                           /* slope = dmean/dz */
    V bend, up_slope, down_slope, inverse_bend;  /* d log slope / dz, dup/dz, ddown/dz, d2inverse/dz2 */
} Mean;

INLINE Mean identity_link(V z)
{
    V per = C(1) / z;
    return (Mean){.mean = z, .log_mean = log_called(z), .inverse = per, .slope = C(1), .up = per, .bend = C(0),
                  .up_slope = -per * per};
}

INLINE Mean log_link_of(V z, V mean, V inverse)
{
    return (Mean){.mean = mean, .log_mean = z, .inverse = inverse, .slope = mean, .up = C(1), .bend = C(1),
                  .up_slope = C(0), .inverse_bend = inverse};
}

INLINE Mean log_link(V z) { return log_link_of(z, exp_short(z), exp_short(-z)); }

INLINE Mean sqrt_link(V z)                       /* mean = z^2, z > 0: variance-stabilising for counts */
{
    V per = C(1) / z;
    return (Mean){.mean = z * z, .log_mean = C(2) * log_called(z), .inverse = per * per, .slope = C(2) * z,
                  .up = C(2) * per, .bend = per, .up_slope = C(-2) * per * per};
}

/* mean = -1 / z, z < 0: canonical for the Gamma. (With +1 / z the gradient would be minus the residual.) */
INLINE Mean canonical_link(V z)
{
    V mean = C(-1) / z;
    return (Mean){.mean = mean, .log_mean = -log_called(-z), .inverse = -z, .slope = mean * mean, .up = mean,
                  .bend = C(2) * mean, .up_slope = mean * mean, .inverse_bend = C(0)};
}

INLINE Mean logit_link(V z)
{
    Logistic l = logistic_called(z);
    V slope = l.sigmoid * l.rest;
    return (Mean){.mean = l.sigmoid, .rest = l.rest, .log_mean = -(max_(-z, C(0)) + l.log1p_t),
                  .log_rest = -(max_(z, C(0)) + l.log1p_t), .slope = slope, .up = l.rest, .down = l.sigmoid,
                  .bend = -vtanh(C(0.5) * z), .up_slope = -slope, .down_slope = slope};
}

/* Softplus h and what its tail needs: left of TAIL log h = z - t/2 with t = exp(z) (the next term, 5 t^2 / 24, is below
 * half an ulp), where log(softplus) would first lose digits and then be -infinity; up = h'/h -> 1 - t/2, and
 * up' = up (1 - sigmoid - up), where for z < 0 the bracket is (log1p(t) - t) / ((1 + t) log1p(t)). */
#define SOFTPLUS_TAIL C(REAL_BITS == 32 ? -15 : -33)
typedef struct { V value, log, inverse, slope, rest, up, up_slope; } Softplus;
INLINE Softplus softplus_from(V z, Logistic l, int curved, int ordinary)      /* up_slope only if `curved` */
{
    Mask tail = z < SOFTPLUS_TAIL;
    V inverse = C(1) / l.softplus, per = l.sigmoid * inverse;
    V up = select(tail, C(1) - C(0.5) * l.t, per);
    V bend = C(0);
    if (curved) {
        V left = select(tail, C(-0.5) * l.t, vlog1pmx(l.t) / ((C(1) + l.t) * l.log1p_t));
        bend = up * select(z < C(0), left, l.rest - per);
    }
    V log = select(tail, z - C(0.5) * l.t, log_of(l.softplus, ordinary));
    return (Softplus){.value = l.softplus, .log = log, .inverse = inverse,
                      .slope = l.sigmoid, .rest = l.rest, .up = up,
                      .up_slope = bend};
}
INLINE Softplus softplus_of(V z, int curved) { return softplus_from(z, logistic(z), curved, 0); }
INLINE Mean softplus_mean(Softplus s)
{
    return (Mean){.mean = s.value, .log_mean = s.log, .inverse = s.inverse, .slope = s.slope, .up = s.up, .bend = s.rest,
                  .up_slope = s.up_slope};
}
/* mean = 1 / softplus(z): positive and decreasing, a safe stand-in for the reciprocal at the end of a network. */
INLINE Mean reciprocal_softplus_mean(Softplus s)
{
    return (Mean){.mean = s.inverse, .log_mean = -s.log, .inverse = s.value, .slope = -s.up * s.inverse, .up = -s.up,
                  .bend = s.rest - C(2) * s.up, .up_slope = -s.up_slope, .inverse_bend = s.slope * s.rest};
}

/* The inverse Mills ratio beyond its argument, r - x with r = phi(x) / Phi(-x). From 3 (float32) or 4 on it is the
 * continued fraction 1 / (x + 2 / (x + 3 / (x + ...))), without cancellation (Abramowitz and Stegun 26.2.14). */
INLINE V mills_excess(V x, V r)
{
    enum { DEPTH = REAL_BITS == 32 ? 16 : 32 };
    V far = max_(x, C(REAL_BITS == 32 ? 3 : 4)), f = far;
    for (int k = DEPTH; k > 1; k--) f = far + C(k) / f;
    return select(x < far, r - x, C(1) / f);
}
INLINE Mean probit_link(V z)                     /* mean = Phi(z) */
{
    Normal n = normal(z);
    V x = abs_(z), outer = select(z < C(0), n.ratio, n.rest_ratio);
    V excess = mills_excess(x, outer);
    V up_excess = select(z < C(0), excess, n.ratio + z), down_excess = select(z < C(0), n.rest_ratio - z, excess);
    return (Mean){.mean = n.cdf, .rest = n.rest, .log_mean = n.log_cdf, .log_rest = n.log_rest, .slope = n.density,
                  .up = n.ratio, .down = n.rest_ratio, .bend = -z, .up_slope = -times(n.ratio, up_excess),
                  .down_slope = times(n.rest_ratio, down_excess)};
}

/* x / (exp(x) - 1) for x >= 0, with its limits 1 and 0; it underflows later than exp(-x) */
INLINE V bernoulli_ratio(V x, Decay d)
{
    V y = (x * d.raised / d.share) * LOWER;
    return select(x < C(REAL_MIN), C(1), select(x > -DECAY_END, C(0), y));
}
/* x + x / (exp(x) - 1) - 1 = x/2 + (x/2 coth(x/2) - 1): below 1/2 by the series of Bernoulli numbers */
INLINE V bernoulli_excess(V x, V ratio)
{
    static const real table[] = {1.0 / 12, -1.0 / 720, 1.0 / 30240, -1.0 / 1209600, 1.0 / 47900160, -5.2841901386874932e-10,
                                 1.3382536530684679e-11};
    V w = x * x;
    return select(x < C(0.5), fma_(w, poly(w, table, REAL_BITS == 32 ? 3 : 7), C(0.5) * x), x + (ratio - C(1)));
}
/* mean = 1 - exp(-x), x = exp(z).  log mean is z - x/2 where x is tiny; up = x / expm1(x). */
INLINE Mean cloglog_link(V z)
{
    V x = vexp(z);
    Decay d = decay_of(x, C(0));
    V up = bernoulli_ratio(x, d), slope = times(d.rest, x);
    Mask tail = z < SOFTPLUS_TAIL;
    V log_mean = select(tail, z - C(0.5) * x, decay_log_share(x, d));
    return (Mean){.mean = d.share, .rest = d.rest, .log_mean = log_mean,
                  .log_rest = -x, .slope = slope, .up = up, .down = x, .bend = C(1) - x,
                  .up_slope = -times(up, bernoulli_excess(x, up)), .down_slope = x};
}

/* What a link at -z says of 1 - mean. */
INLINE Mean mirrored(Mean c)
{
    return (Mean){.mean = c.rest, .rest = c.mean, .log_mean = c.log_rest, .log_rest = c.log_mean, .slope = c.slope,
                  .up = c.down, .down = c.up, .bend = -c.bend, .up_slope = -c.down_slope, .down_slope = -c.up_slope};
}

/* mean = 1/2 + atan(z) / pi.  Beyond |z| = 1, with i = 1 / |z|, the slope i^2 / (pi (1 + i^2)) over the smaller side is
 * i (i / (pi small)) / (1 + i^2), which underflows nowhere; i / (pi small) -> 1. */
INLINE Mean cauchit_link(V z)
{
    V a = abs_(z), i = C(1) / a, per_pi = C(0.3183098861837906715);
    Mask wide = a > C(1), right = z > C(0);
    V x = select(wide, i, a), per = C(1) / fma_(x, x, C(1)), arc = per_pi * atan_unit(x);
    V small = select(wide, arc, C(0.5) - arc), big = C(1) - small;
    V slope = per_pi * per * select(wide, i * i, C(1)), flat = slope / big;
    V ratio = select(i < C(REAL_MIN), C(1), i * per_pi / small);
    V steep = select(wide, i * ratio * per, slope / small);
    V up = select(right, flat, steep), down = select(right, steep, flat);
    V bend = C(-2) * per * select(wide, copysign_(i, z), z), log_small = log_called(small);
    V log_big = log1p_called(-small);
    return (Mean){.mean = select(right, big, small), .rest = select(right, small, big),
                  .log_mean = select(right, log_big, log_small), .log_rest = select(right, log_small, log_big),
                  .slope = slope, .up = up, .down = down, .bend = bend, .up_slope = up * (bend - up), .down_slope = down * (bend + down)};
}

/* What the loops of HOT rows compute for many vectors before the rest of a formula: its exponential, whose long chain of
 * operations would keep the machine from beginning the next vector. Those of the log link are short enough for one that
 * begins many operations at a time. */
INLINE V odds_of_first(const V *z) { return odds_lifted(z[0]); }
INLINE V odds_of_second(const V *z) { return odds_lifted(z[1]); }
INLINE V log_mean(const V *z) { return exp_ordinary(z[0]); }
INLINE V log_inverse(const V *z) { return exp_ordinary(-z[0]); }
#ifdef ISA_AVX512
enum { LOOKS_FAR = 1 };
#else
enum { LOOKS_FAR = 0 };
#endif

/* The links of HOT rows, and up to which size their logits are ordinary. */
INLINE Mean log_hot(V z) { return log_link_of(z, exp_ordinary(z), exp_ordinary(-z)); }
INLINE Mean log_mean_hot(V z, V mean) { return log_link_of(z, mean, exp_ordinary(-z)); }
INLINE Mean log_inverse_hot(V z, V inverse) { return log_link_of(z, exp_ordinary(z), inverse); }
INLINE Mean logit_hot(V z) { return logit_link(z); }
INLINE Mean identity_hot(V z) { return identity_link(z); }
#define log_ordinary ORDINARY_EXP
#define logit_ordinary ORDINARY
#define identity_ordinary INFINITY

/* Each link out of line, for the pairs that are not inlined. What nobody asks for is skipped, and so is what the link
 * does not have: `rest` and its like are those of a PROPORTION, `inverse` that of any other. In training some likelihoods
 * read nothing but logarithms, their slopes and the inverse. */
enum { AT_ONCE = 16 };                            /* vectors that are handed over together where calls would cost much */
typedef void Link(const V *z, int count, int want, Mean *m);
INLINE void hand_back(Mean m, int kind, int want, Mean *out)
{
    int proportion = kind == PROPORTION;
    out->log_mean = m.log_mean, out->up = m.up;
    if (proportion) out->log_rest = m.log_rest, out->down = m.down;
    else out->inverse = m.inverse;
    if (want & LOGARITHMS) return;
    out->mean = m.mean, out->slope = m.slope;
    if (proportion) out->rest = m.rest;
    if (!(want & (CURVATURE | NOTHING))) return;
    out->bend = m.bend, out->up_slope = m.up_slope;
    if (proportion) out->down_slope = m.down_slope;
    else out->inverse_bend = m.inverse_bend;
}
#define LINK(link, kind) \
    APART void link##_apart(const V *z, int count, int want, Mean *m) \
    { for (int i = 0; i < count; i++) hand_back(link##_link(z[i]), kind, want, m + i); }
LINK(identity, 0) LINK(log, 0) LINK(sqrt, 0) LINK(canonical, 0)
LINK(logit, PROPORTION) LINK(probit, PROPORTION) LINK(cloglog, PROPORTION) LINK(cauchit, PROPORTION)
APART void loglog_apart(const V *z, int count, int want, Mean *m)              /* mean = exp(-exp(-z)) */
{
    V minus[AT_ONCE];
    int i = 0;
    do minus[i] = -z[i]; while (++i < count);
    cloglog_apart(minus, count, want, m);
    while (i--) m[i] = mirrored(m[i]);
}

APART void either_softplus(const V *z, int count, int want, Mean *m, int reciprocal)
{
    for (int i = 0; i < count; i++) {
        Softplus s = softplus_of(z[i], want & (CURVATURE | NOTHING));
        if (reciprocal) hand_back(reciprocal_softplus_mean(s), 0, want, m + i);
        else hand_back(softplus_mean(s), 0, want, m + i);
    }
}
APART void softplus_apart(const V *z, int count, int want, Mean *m) { either_softplus(z, count, want, m, 0); }
APART void reciprocal_softplus_apart(const V *z, int count, int want, Mean *m) { either_softplus(z, count, want, m, 1); }

/* a^2 / b from their logarithms where a or b has left the range of the type. */
INLINE V square_over(V a, V log_a, V b, V log_b)
{
    V x = a * (a / b);
    Mask usual = both(x > C(0), x <= C(REAL_MAX));
    return any_lane(negate(usual)) ? select(usual, x, exp_called(C(2) * log_a - log_b)) : x;
}

INLINE Mask ordinary(V x) { return both(x >= C(REAL_MIN), x <= C(REAL_MAX)); }           /* with all its digits */

/* exp(a + b), with the digits that a + b loses. */
APART V exp_sum(V a, V b)
{
    V bound = C(REAL_MAX / 4);
    Exact s = two_sum(max_(min_(a, bound), -bound), max_(min_(b, bound), -bound));
    return exp_called(s.sum) * (C(1) + max_(min_(s.error, C(0.5)), C(-0.5)));
}

/* a b from their logarithms where a factor is not a normal number. */
APART V product_of(V a, V log_a, V b, V log_b)
{
    V x = a * b;
    Mask far = either(either(a < C(REAL_MIN), b < C(REAL_MIN)), either(a > C(REAL_MAX), b > C(REAL_MAX)));
    return any_lane(far) ? select(far, exp_called(log_a + log_b), x) : x;
}

/* A ratio x = a / b of positive numbers, which may both have overflown or both be 0, and what does not overflow where they
 * do: t is the smaller of x and 1 / x. p = 1 / (1 + x), q = x / (1 + x). */
typedef struct { Mask above; V x, log_x, log1p_t, log1p_x, p, q, log_q; } Odds;
INLINE Odds odds_of(V a, V b, V log_x)
{
    V x = a / b;
    Mask usual = both(x > C(0), x <= C(REAL_MAX));               /* not where a or b has left the range of the type */
    if (any_lane(negate(usual))) x = select(usual, x, exp_called(log_x));
    Mask above = x > C(1);
    V t = select(above, C(1) / x, x), per = C(1) / (C(1) + t), l = log1p_unit(t);
    return (Odds){.above = above, .x = x, .log_x = log_x, .log1p_t = l, .log1p_x = select(above, log_x + l, l),
                  .p = select(above, t * per, per), .q = select(above, per, t * per), .log_q = select(above, C(0), log_x) - l};
}

/* A predicted scale, shape or concentration h(z) + min_scale. 1 / scale = inverse * extra: two factors, since a scale of
 * exp(-100) has no reciprocal in float32 while its product with a small residual is finite; both are clamped below
 * infinity, so that a residual of 0 stays 0. */
typedef struct {
    V scale, log_scale, inverse, extra;
    V slope, bend;                               /* d log scale / dz, d2 log scale / dz2 */
    V curve;                                     /* `curved` without its cancellation */
} Scale;
INLINE V steep(Scale s) { return s.slope * s.slope; }            /* of a function of log scale: h'' steep + h' bend */

/* log h = a z exactly, as exp (a = 1) and logvar (a = 1/2, the scale being the root of the variance) have it. */
INLINE Scale exponential_scale(V z, V a)
{
    V log_scale = a * z, root = max_(min_(exp_called(C(-0.5) * log_scale), C(REAL_MAX)), C(REAL_MIN));
    return (Scale){.scale = exp_called(log_scale), .log_scale = log_scale, .inverse = root, .extra = root, .slope = a,
                   .curve = a * a};
}

INLINE Scale squareplus_scale(V z)               /* (z + sqrt(z^2 + 4)) / 2; Barron (2021) */
{
    V x = abs_(z), root = select(x > C(1e9), x, sqrt_(fma_(z, z, C(4)))), big = C(0.5) * x + C(0.5) * root;
    V per = C(1) / big, scale = select(z < C(0), per, big), slope = C(1) / root;
    return (Scale){.scale = scale, .log_scale = copysign_(log_called(big), z), .inverse = select(z < C(0), big, per),
                   .extra = C(1), .slope = slope, .bend = -(z * slope) * slope * slope,
                   .curve = C(2) * slope * slope * (slope * select(z < C(0), big, per))};
}

#define ORDINARY_SCALE (REAL_BITS == 32 ? 80 : 700)     /* up to here |z| gives a scale that is a normal number */
INLINE Scale softplus_scale_from(V z, Logistic l, int ordinary)
{
    Softplus h = softplus_from(z, l, 1, ordinary);
    Mask far = z < C(-ORDINARY_SCALE);
    Scale s = {.scale = h.value, .log_scale = h.log, .inverse = h.inverse, .extra = C(1), .slope = h.up,
               .bend = h.up_slope, .curve = h.up * h.rest};
    if (!ordinary && any_lane(far)) {
        V root = min_(exp_called(C(-0.5) * z), C(REAL_MAX));
        s.inverse = select(far, root, s.inverse), s.extra = select(far, root, s.extra);
    }
    return s;
}

INLINE Scale softplus_scale(V z) { return softplus_scale_from(z, logistic(z), 0); }

/* With a floor m: log(h + m) has slope r h'/h with r = h / (h + m), and bend r ((h'/h)' + (1 - r) (h'/h)^2). */
INLINE Scale floored_scale(Scale s, V floor)
{
    V scale = s.scale + floor, inverse = C(1) / scale, r = s.scale * inverse;
    return (Scale){.scale = scale, .log_scale = log_called(scale), .inverse = inverse, .extra = C(1),
                   .slope = r * s.slope, .bend = r * (s.bend + floor * inverse * s.slope * s.slope),
                   .curve = r * s.curve};
}

/* The choice is the same for every row of a call: a branch that is always predicted, not a select. */
APART Scale any_scale(V z, const Fixed *fixed)
{
    Fixed f = *fixed;
    Scale s = f.scale_link == PS_SOFTPLUS ? softplus_scale(z)
            : f.scale_link == PS_SQUAREPLUS ? squareplus_scale(z)
            : exponential_scale(z, C(f.scale_link == PS_LOGVAR ? 0.5 : 1.0));
    return f.floored ? floored_scale(s, f.min_scale) : s;
}
INLINE Scale scale_of(V z, const Obs *o)         /* in loops of HOT rows after odds_of_second */
{
    return o->bare ? softplus_scale_from(z, logistic_from(z, o->begun), 1) : any_scale(z, &o->fixed);
}

/* What gamma functions say of a predicted shape k, whose value may have overflowed or be 0 where log k is fine:
 * nll = log Gamma(k) - k log k + k, score = k (digamma(k) - log k), information = k^2 trigamma(k) - k. */
#define SMALLEST C(REAL_BITS == 32 ? 1e-15 : 1e-60)             /* small enough for the limit to hold to the last digit */
#define LOG_SMALLEST C(REAL_BITS == 32 ? -34.538776394910684 : -138.15510557964274)
#define LARGEST C(REAL_BITS == 32 ? 1e30 : 1e290)
#define LOG_LARGEST C(REAL_BITS == 32 ? 69.077552789821371 : 667.7496769682733)
INLINE V within(V k) { return max_(min_(k, LARGEST), SMALLEST); }
typedef struct { V nll, score, information; } Shape;
INLINE Shape shape_of(V k, V log_k, int want)
{
    V inside = within(k);
    GammaShape g = gamma_shape(inside);
    V nll = select(k < SMALLEST, -log_k, select(k > LARGEST, C(HALF_LOG_2PI) - C(0.5) * log_k, g.nll));
    return (Shape){.nll = nll, .score = inside * g.score,
                   .information = want & (CURVATURE | FISHER) ? shape_information(inside) : C(0)};
}
#endif
