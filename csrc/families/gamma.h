/* Gamma with mean m and shape k (variance m^2 / k): nll = k (y / m + log m),  base = -(k - 1) log y - k log k + log
 * Gamma(k),  V(m) = m^2.  k is fixed (the dispersion is 1 / k) or predicted.  Canonical link: -1 / z.
 * McCullagh & Nelder (1989), chapter 8. */
INLINE Point gamma_of(Obs o, Mean m)
{
    V k = o.fixed.per_dispersion;
    return (Point){.mean = m.mean, .inverse = m.inverse, .variance = m.mean * m.mean * o.fixed.dispersion,
                   .nll = k * (o.y * m.inverse + m.log_mean), .slope = m.slope, .up = m.up, .bend = m.bend,
                   .leverage = m.up, .tilt = C(2) * m.up};
}

INLINE V gamma_base(Obs o)
{
    V k = o.fixed.per_dispersion;
    return (C(1) - k) * vlog(o.y) + (gamma_shape(k).nll - k);
}

LIKELIHOOD(gamma, 1, outside_positive, gamma_base)
LINKED(gamma, log, CHAINED | RELATIVE, NULL, HOT)
LINKED(gamma, canonical, CANONICAL, not_negative, COLD)
LINKED(gamma, reciprocal_softplus, CHAINED | RELATIVE, NULL, COLD)
