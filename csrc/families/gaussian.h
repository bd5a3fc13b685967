/* Gaussian with a constant variance v (the dispersion): nll = (y - mean)^2 / (2 v),  base = log(2 pi v) / 2,
 * V(mean) = 1.  Canonical link: identity.  Bishop (2006), section 3.1.1. */
INLINE Point gaussian_of(Obs o, Mean m)
{
    V r = m.mean - o.y;
    return (Point){.mean = m.mean, .nll = C(0.5) * r * r * o.fixed.per_dispersion, .variance = o.fixed.dispersion,
                   .slope = m.slope, .leverage = m.slope,
                   .curv = {m.slope * (m.slope + r * m.bend) * o.fixed.per_dispersion}};
}

INLINE V gaussian_base(Obs o) { return C(0.5) * log_called(C(6.283185307179586477) * o.fixed.dispersion); }

LIKELIHOOD(gaussian, 1, reals, gaussian_base)
LINKABLE(gaussian, 1)
HOT(gaussian, identity, 1, CANONICAL)
COLD(gaussian, log, 1, CHAINED, NULL)
COLD(gaussian, logit, 1, CHAINED, NULL)
COLD(gaussian, softplus, 1, CHAINED, NULL)
