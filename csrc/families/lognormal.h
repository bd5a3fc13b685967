/* Lognormal: log y is Gaussian with a location and a scale s, both predicted; base = log y + log(2 pi) / 2.  Mean
 * exp(location + s^2 / 2), variance mean^2 (exp(s^2) - 1).  Johnson, Kotz & Balakrishnan (1994), chapter 14. */
INLINE Point lognormal(Obs o)
{
    Scale s = scale_of(o.z[1], &o);
    Exact log_y = log_exact(log_parts_lifted(o.y));             /* y may be close to exp(location) */
    Point p = location_scale_gaussian((log_y.sum - o.z[0]) + log_y.error, C(0), s);
    V square = s.scale * s.scale, half = C(0.5) * square, rise = vexpm1(square);
    p.param[0] = o.z[0], p.mean = exp_sum(o.z[0], half), p.variance = p.mean * (p.mean * rise);
    if (o.want & MEAN && any_lane(is_nan(p.variance))) {        /* inf times 0 */
        V log_rise = select(rise < C(REAL_MIN), C(2) * s.log_scale, vlog(rise));
        p.variance = select(is_nan(p.variance), vexp(C(2) * (o.z[0] + half) + log_rise), p.variance);
    }
    return p;
}

INLINE V lognormal_base(Obs o) { return vlog(o.y) + half_log_2pi(o); }

LIKELIHOOD(lognormal, 1, outside_positive, lognormal_base)
COLD_WHOLE(lognormal, identity, lognormal, 2, OWN)
