/* Weibull with scale m (its link's "mean" here) and shape k: with l = k (log y - log m) and t = exp(l) = (y / m)^k,
 * nll = t - l - log k,  base = log y.  Johnson, Kotz & Balakrishnan (1994), chapter 21.
 * With respect to log m and log k: gradient (k (1 - t), (t - 1) l - 1), Fisher information (k^2, c^2 + pi^2 / 6) and -k c
 * beside the diagonal, c = 1 - Euler's constant. */

/* log Gamma(1 + x), and log Gamma(1 + 2 x) - 2 log Gamma(1 + x), whose parts that are linear in x cancel on paper. */
typedef struct { V log_mean, log_square; } WeibullMoments;
APART WeibullMoments weibull_moments(V x)
{
    V near = min_(x, C(0.25)), q = near / (C(1) + near), first = vlog_factorial(x);
    V small = (lgamma_near_two(C(2) * near).bend - C(2) * lgamma_near_two(near).bend) - vlog1p(-q * q);
    V large = vlog_factorial(C(2) * x) - C(2) * first;
    large = select(is_finite(large), large, INF);
    return (WeibullMoments){first, select(x < C(0.25), small, large)};
}
/* Mean and variance, mean^2 (Gamma(1 + 2 x) / Gamma(1 + x)^2 - 1) with x = 1 / k. */
INLINE Point weibull_means(Point p, Mean m, Scale k)
{
    WeibullMoments w = weibull_moments(min_(k.inverse * k.extra, LARGEST));
    V log_mean = m.log_mean + w.log_mean, rise = vexpm1(w.log_square);
    p.mean = exp_sum(m.log_mean, w.log_mean);
    Mask usual = both(ordinary(p.mean), ordinary(rise));
    V log_rise = select(rise < C(REAL_MIN), C(0.4977003024707453475) - C(2) * k.log_scale, w.log_square);
    p.variance = select(usual, p.mean * (p.mean * rise), vexp(C(2) * log_mean + log_rise));
    return p;
}

INLINE Point weibull_of(Obs o, Mean m)
{
    Scale k = scale_of(o.z[1], &o);
    Exact log_y = log_exact(log_parts_lifted(o.y));             /* y may be close to m */
    V l = min_(product(k.scale, (log_y.sum - m.log_mean) + log_y.error), C(1e4)), t = vexp(l), e = vexpm1(l), c = C(0.4227843350984671394);
    V g = -product(k.scale, e), el = product(e, l), tl = product(t, l);
    Point p = {.param = {m.mean, k.scale}, .nll = (t - l) - k.log_scale, .grad = {g * m.up, (el - C(1)) * k.slope},
               .curv = {product(k.scale * k.scale, t) * m.up * m.up + times(m.up_slope, g),
                        times(steep(k), product(tl, l)) + times(k.curve, el) - k.bend},
               .curv_pair = {(g - product(k.scale, tl)) * m.up * k.slope},
               .fisher = {k.scale * k.scale * m.up * m.up, C(1.8236806608528793896) * steep(k)},
               .fisher_pair = {-c * k.scale * m.up * k.slope}};
    return o.want & MEAN ? weibull_means(p, m, k) : p;
}

LIKELIHOOD(weibull, 1, outside_positive, log_target)
LINKABLE(weibull, 2)
COLD(weibull, log, 2, OWN, NULL)
COLD(weibull, softplus, 2, OWN, NULL)
