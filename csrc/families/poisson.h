/* Poisson: nll = mean - y log mean,  base = log y!,  V(mean) = mean.  Canonical link: log.  McCullagh & Nelder (1989),
 * section 6.2.  A rate of exactly 0 gives y = 0 an nll of 0: hence `times`. Where log mean is beyond 1000 the mean is
 * infinite and so is the nll: y log mean must not become infinite first. */
INLINE Point poisson_of(Obs o, Mean m)
{
    V log_mean = o.bare ? m.log_mean : min_(m.log_mean, C(1e3));
    V steepest = C(REAL_BITS == 32 ? 1e18 : 1e153);                 /* has a square */
    return (Point){.mean = m.mean, .nll = less_times(&o, m.mean, o.y, log_mean), .variance = m.mean, .slope = m.slope,
                   .leverage = m.up, .curv = {m.slope * m.bend - times(o.y, m.up_slope)},
                   .none = {.nll = m.mean, .log_nll = m.log_mean, .up = {min_(m.up, steepest)},
                            .up_slope = {max_(m.up_slope, -steepest * steepest)}, .log_excess = -INF}};
}

INLINE V log_factorial(Obs o) { return vlog_factorial(o.y); }

LIKELIHOOD(poisson, 1, counts, log_factorial)
LINKABLE(poisson, 1)
HOT_AHEAD(poisson, log, mean, 1, CANONICAL)
COLD(poisson, softplus, 1, CHAINED, NULL)
COLD(poisson, sqrt, 1, CHAINED, not_positive)
COLD(poisson, identity, 1, CHAINED, not_positive)
