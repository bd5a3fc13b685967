/* Weibull with scale m (its link's "mean" here) and shape k: with l = k (log y - log m) and t = exp(l) = (y / m)^k,
 * nll = t - l - log k,  base = log y.  Johnson, Kotz & Balakrishnan (1994), chapter 21.
 * With respect to log m and log k: gradient (k (1 - t), (t - 1) l - 1), Fisher information (k^2, c^2 + pi^2 / 6) and
 * -k c beside the diagonal, c = 1 - Euler's constant. */

/* log Gamma(1 + x), and log Gamma(1 + 2 x) - 2 log Gamma(1 + x), whose parts that are linear in x cancel on paper. */
typedef struct { V log_mean, log_square; } WeibullMoments;
APART WeibullMoments weibull_moments(V x)
{
    V near = min_(x, C(0.25)), q = near / (C(1) + near), first = vlog_factorial(x);
    V small = (lgamma_near_two(C(2) * near).bend - C(2) * lgamma_near_two(near).bend) - log1p_called(-q * q);
    V large = vlog_factorial(C(2) * x) - C(2) * first;
    large = select(is_finite(large), large, INF);
    return (WeibullMoments){first, select(x < C(0.25), small, large)};
}
/* Mean and variance, mean^2 (Gamma(1 + 2 x) / Gamma(1 + x)^2 - 1) with x = 1 / k. */
INLINE Point weibull_means(Point p, Mean m, Scale k)
{
    WeibullMoments w = weibull_moments(min_(k.inverse * k.extra, LARGEST));
    V log_mean = m.log_mean + w.log_mean, rise = expm1_called(w.log_square);
    p.mean = exp_sum(m.log_mean, w.log_mean);
    Mask usual = both(ordinary(p.mean), ordinary(rise));
    V log_rise = select(rise < C(REAL_MIN), C(0.4977003024707453475) - C(2) * k.log_scale, w.log_square);
    p.variance = select(usual, p.mean * (p.mean * rise), exp_called(C(2) * log_mean + log_rise));
    return p;
}

INLINE Point weibull_of(Obs o, Mean m)
{
    Scale k = scale_of(o.z[1], &o);
    Exact log_y = log_exact_called(o.y);                    /* y may be close to m */
    V l = min_(product(k.scale, (log_y.sum - m.log_mean) + log_y.error), C(1e4));
    V t = exp_called(l), e = expm1_called(l), c = C(0.4227843350984671394);
    V ku = k.scale * m.up, by_scale = -product(ku, e), turn = times(k.slope, l);
    Point p = {.param = {m.mean, k.scale}, .nll = (t - l) - k.log_scale,
               .grad = {by_scale, product(e, turn) - k.slope},
               .curv = {product(ku * ku, t) - product(product(k.scale, m.up_slope), e),
                        product(t, turn * turn) + product(e, times(k.curve, l)) - k.bend},
               .curv_pair = {by_scale * k.slope - product(ku, product(t, turn))},
               .fisher = {ku * ku, C(1.8236806608528793896) * steep(k)}, .fisher_pair = {-c * ku * k.slope}};
    return o.want & MEAN ? weibull_means(p, m, k) : p;
}

LIKELIHOOD(weibull, 1, positive, log_target)
LINKABLE(weibull, 2)
COLD(weibull, log, 2, OWN, NULL)
COLD(weibull, softplus, 2, OWN, NULL)
