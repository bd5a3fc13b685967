/* Poisson: nll = mean - y log mean,  base = log y!,  V(mean) = mean.  Canonical link: log.  McCullagh & Nelder (1989),
 * section 6.2.  A rate of exactly 0 gives y = 0 an nll of 0: hence `times`. Where log mean is beyond 1000 the
 * mean is infinite and so is the nll: y log mean must not become infinite first. */
INLINE Point poisson_of(Obs o, Mean m)
{
    V log_mean = min_(m.log_mean, C(1e3));
    return (Point){.mean = m.mean, .nll = m.mean - times(o.y, log_mean), .variance = m.mean, .slope = m.slope, .bend = m.bend, .leverage = m.up, .tilt = m.up};
}

INLINE V poisson_base(Obs o) { return vlog_factorial(o.y); }

LIKELIHOOD(poisson, 1, outside_counts, poisson_base)
LINKED(poisson, log, CANONICAL, NULL, HOT)
LINKED(poisson, softplus, CHAINED, NULL, COLD)
LINKED(poisson, sqrt, CHAINED, negative, COLD)
LINKED(poisson, identity, CHAINED, not_positive, COLD)
