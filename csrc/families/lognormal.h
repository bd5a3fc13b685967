/* Lognormal: log y is Gaussian with a location and a scale s, both predicted; base = log y + log(2 pi) / 2.  Mean
 * exp(location + s^2 / 2), variance mean^2 (exp(s^2) - 1).  Johnson, Kotz & Balakrishnan (1994), chapter 14. */
SELDOM V lognormal_mean(V location, Scale s, V *variance)
{
    V square = s.scale * s.scale, half = C(0.5) * square, rise = expm1_called(square), mean = exp_sum(location, half);
    V log_rise = select(rise < C(REAL_MIN), C(2) * s.log_scale, select(rise > C(REAL_MAX), square, log_called(rise)));
    Mask usual = both(ordinary(mean), ordinary(rise));
    *variance = select(usual, mean * (mean * rise), exp_called(C(2) * (location + half) + log_rise));
    return mean;
}

INLINE Point lognormal(Obs o)
{
    Scale s = scale_of(o.z[1], &o);
    Exact log_y = log_exact_called(o.y);                    /* y may be close to exp(location) */
    Point p = location_scale_gaussian(&o, (log_y.sum - o.z[0]) + log_y.error, C(0), s);
    p.param[0] = o.z[0];
    if (o.want & MEAN) p.mean = lognormal_mean(o.z[0], s, &p.variance);
    return p;
}

INLINE V lognormal_base(Obs o) { return log_called(o.y) + half_log_2pi(o); }

LIKELIHOOD(lognormal, 1, positive, lognormal_base)
COLD_WHOLE(lognormal, identity, lognormal, 2, OWN)
