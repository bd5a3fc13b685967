/* links.h: the maps from logits to parameters, each once. A link says everything that a likelihood may need of it in a
 * form that neither cancels nor overflows; what a likelihood does not read is dead code. */
#ifndef LINKS_H
#define LINKS_H

/* A link of the mean. up = slope / mean and down = slope / rest, the slopes of log mean and of -log rest. */
typedef struct {
    V mean, rest, log_mean, log_rest, inverse;   /* rest = 1 - mean, inverse = 1 / mean */
    V slope, up, down, bend;                     /* slope = dmean/dz, bend = d log slope / dz */
} Mean;

INLINE Mean identity_link(V z)
{
    return (Mean){.mean = z, .log_mean = vlog(z), .inverse = C(1) / z, .slope = C(1), .up = C(1) / z, .bend = C(0)};
}

INLINE Mean log_link(V z)
{
    V mean = vexp(z);
    return (Mean){.mean = mean, .log_mean = z, .inverse = vexp(-z), .slope = mean, .up = C(1), .bend = C(1)};
}

INLINE Mean sqrt_link(V z)                       /* mean = z^2, z >= 0: variance-stabilising for counts */
{
    V per = C(1) / z;
    return (Mean){.mean = z * z, .log_mean = C(2) * vlog(z), .inverse = per * per, .slope = C(2) * z, .up = C(2) * per,
                  .bend = per};
}

/* mean = -1 / z, z < 0: canonical for the Gamma. (With +1 / z the gradient would be minus the residual.) */
INLINE Mean canonical_link(V z)
{
    V mean = C(-1) / z;
    return (Mean){.mean = mean, .log_mean = -vlog(-z), .inverse = -z, .slope = mean * mean, .up = mean,
                  .bend = C(2) * mean};
}

INLINE Mean logit_link(V z)
{
    Logistic l = logistic(z);
    return (Mean){.mean = l.sigmoid, .rest = l.rest, .log_mean = -(max_(-z, C(0)) + l.log1p_t),
                  .log_rest = -(max_(z, C(0)) + l.log1p_t), .slope = l.sigmoid * l.rest, .up = l.rest,
                  .down = l.sigmoid, .bend = l.rest - l.sigmoid};
}

/* softplus and what its tail needs: left of TAIL log h = z - t/2 with t = exp(z) (the next term, 5 t^2 / 24, is below half
 * an ulp), where log(softplus) would first lose digits and then be -infinity; h'/h -> 1 - t/2. */
#define SOFTPLUS_TAIL C(REAL_BITS == 32 ? -15 : -33)
INLINE Mean softplus_link(V z)
{
    Logistic l = logistic(z);
    Mask tail = z < SOFTPLUS_TAIL;
    return (Mean){.mean = l.softplus, .log_mean = select(tail, z - C(0.5) * l.t, vlog(l.softplus)),
                  .inverse = C(1) / l.softplus, .slope = l.sigmoid,
                  .up = select(tail, C(1) - C(0.5) * l.t, l.sigmoid / l.softplus), .bend = l.rest};
}

/* mean = 1 / softplus(z): positive and decreasing, a safe stand-in for the reciprocal at the end of a network. */
INLINE Mean reciprocal_softplus_link(V z)
{
    Mean s = softplus_link(z);
    return (Mean){.mean = s.inverse, .log_mean = -s.log_mean, .inverse = s.mean, .slope = -s.up * s.inverse, .up = -s.up,
                  .bend = s.bend - C(2) * s.up};
}

INLINE Mean probit_link(V z)                     /* mean = Phi(z) */
{
    Normal n = normal(z);
    return (Mean){.mean = n.cdf, .rest = n.rest, .log_mean = n.log_cdf, .log_rest = n.log_rest, .slope = n.density,
                  .up = n.ratio, .down = n.rest_ratio, .bend = -z};
}

/* mean = 1 - exp(-x), x = exp(z).  log mean = log(-expm1(-x)) or log1p(-exp(-x)), whichever keeps its digits (Maechler
 * 2012), and z - x/2 where x is tiny; up = x / expm1(x), with limits 1 and 0. */
INLINE Mean cloglog_link(V z)
{
    V x = vexp(z), rest = vexp(-x), mean = -vexpm1(-x), grown = vexpm1(x);
    V log_mean = select(x < C(0.6931471805599453094), vlog(mean), vlog1p(-rest));
    return (Mean){.mean = mean, .rest = rest, .log_mean = select(z < SOFTPLUS_TAIL, z - C(0.5) * x, log_mean),
                  .log_rest = -x, .slope = times(rest, x),
                  .up = select(z < SOFTPLUS_TAIL, C(1) - C(0.5) * x, select(grown > C(REAL_MAX), C(0), x / grown)),
                  .down = x, .bend = C(1) - x};
}

INLINE Mean loglog_link(V z)                     /* mean = exp(-exp(-z)): cloglog mirrored */
{
    Mean c = cloglog_link(-z);
    return (Mean){.mean = c.rest, .rest = c.mean, .log_mean = c.log_rest, .log_rest = c.log_mean, .slope = c.slope,
                  .up = c.down, .down = c.up, .bend = -c.bend};
}

/* mean = 1/2 + atan(z) / pi.  For |z| > 1 the small side is atan(i) / pi with i = 1 / |z|, and its slope over itself is
 * i (i / atan i) / (1 + i^2), which underflows nowhere. */
INLINE Mean cauchit_link(V z)
{
    V a = abs_(z), i = C(1) / a, per_pi = C(0.3183098861837906715);
    Mask wide = a > C(1), right = z > C(0);
    V arc = atan_unit(select(wide, i, a));
    V small = select(wide, arc * per_pi, C(0.5) - arc * per_pi), big = C(1) - small;
    V ratio = select(i == C(0), C(1), i / arc);
    V near_slope = per_pi / (C(1) + a * a), steep = select(wide, i * ratio / (C(1) + i * i), near_slope / small);
    V slope = select(wide, per_pi * i * i / (C(1) + i * i), near_slope), flat = slope / big;
    V log_small = vlog(small), log_big = vlog1p(-small);
    return (Mean){.mean = select(right, big, small), .rest = select(right, small, big),
                  .log_mean = select(right, log_big, log_small), .log_rest = select(right, log_small, log_big),
                  .slope = slope, .up = select(right, flat, steep), .down = select(right, steep, flat),
                  .bend = select(wide, C(-2) * copysign_(i, z) / (C(1) + i * i), C(-2) * z / (C(1) + a * a))};
}

/* A predicted scale, shape or concentration h(z) + min_scale. 1 / scale = inverse * extra: two factors, since a scale of
 * exp(-100) has no reciprocal in float32 while its product with a small residual is finite; both are clamped below
 * infinity, so that a residual of 0 stays 0. */
typedef struct {
    V scale, log_scale, inverse, extra;
    V slope, bend;                               /* d log scale / dz, d2 log scale / dz2 */
} Scale;

/* log h = a z exactly, as exp (a = 1) and logvar (a = 1/2, the scale being the root of the variance) have it. */
INLINE Scale exponential_scale(V z, V a)
{
    V log_scale = a * z, root = max_(min_(vexp(C(-0.5) * log_scale), C(REAL_MAX)), C(REAL_MIN));
    return (Scale){.scale = vexp(log_scale), .log_scale = log_scale, .inverse = root, .extra = root, .slope = a};
}

INLINE Scale squareplus_scale(V z)               /* (z + sqrt(z^2 + 4)) / 2; Barron (2021) */
{
    V root = sqrt_(z * z + C(4)), big = C(0.5) * (abs_(z) + root), per = C(1) / big;
    V scale = select(z < C(0), per, big), slope = C(1) / root;
    return (Scale){.scale = scale, .log_scale = copysign_(vlog(big), z), .inverse = select(z < C(0), big, per),
                   .extra = C(1), .slope = slope, .bend = -z * slope * slope * slope};
}

/* (h'/h)' = h'/h (1 - sigmoid - h'/h), where for z < 0 the bracket is (log1p(t) - t) / ((1 + t) log1p(t)). */
INLINE Scale softplus_scale(V z)
{
    Logistic l = logistic(z);
    Mask tail = z < SOFTPLUS_TAIL, far = z < C(REAL_BITS == 32 ? -80 : -700);
    Scale s = {.scale = l.softplus, .inverse = C(1) / l.softplus, .extra = C(1)};
    s.slope = select(tail, C(1) - C(0.5) * l.t, l.sigmoid * s.inverse);
    s.log_scale = select(tail, z - C(0.5) * l.t, vlog(s.scale));
    if (any_lane(far)) {
        V root = min_(vexp(C(-0.5) * z), C(REAL_MAX));
        s.inverse = select(far, root, s.inverse), s.extra = select(far, root, s.extra);
    }
    V left = select(tail, C(-0.5) * l.t, vlog1pmx(l.t) / ((C(1) + l.t) * l.log1p_t));
    s.bend = s.slope * select(z < C(0), left, l.rest - l.sigmoid * s.inverse);
    return s;
}

/* With a floor m: log(h + m) has slope r h'/h with r = h / (h + m), and bend r ((h'/h)' + (1 - r) (h'/h)^2). */
INLINE Scale floored_scale(Scale s, V floor)
{
    V scale = s.scale + floor, inverse = C(1) / scale, r = s.scale * inverse;
    return (Scale){.scale = scale, .log_scale = vlog(scale), .inverse = inverse, .extra = C(1), .slope = r * s.slope,
                   .bend = r * (s.bend + floor * inverse * s.slope * s.slope)};
}

/* The choice is the same for every row of a call: a branch that is always predicted, not a select. */
INLINE Scale scale_of(V z, Fixed f)
{
    Scale s = f.scale_link == PS_SOFTPLUS ? softplus_scale(z)
            : f.scale_link == PS_SQUAREPLUS ? squareplus_scale(z)
            : exponential_scale(z, C(f.scale_link == PS_LOGVAR ? 0.5 : 1.0));
    return f.floored ? floored_scale(s, f.min_scale) : s;
}
#endif
