/* Gamma with mean m and shape k (variance m^2 / k): nll = k (y / m + log m),  base = -(k - 1) log y - k log k + log
 * Gamma(k),  V(m) = m^2.  k is fixed (the dispersion is 1 / k) or predicted.  Canonical link: -1 / z.
 * McCullagh & Nelder (1989), chapter 8. */
INLINE Point gamma_of(Obs o, Mean m)
{
    V k = o.fixed.per_dispersion;
    return (Point){.mean = m.mean, .inverse = m.inverse, .variance = m.mean * m.mean * o.fixed.dispersion,
                   .nll = k * (o.y * m.inverse + m.log_mean), .slope = m.slope, .up = m.up,
                   .leverage = m.up, .curv = {k * (m.up_slope + o.y * m.inverse_bend)}};
}

INLINE V gamma_base(Obs o)
{
    V k = o.fixed.per_dispersion;
    return (C(1) - k) * log_called(o.y) + (gamma_shape(k).nll - k);
}

/* Mean and shape predicted, with r = y / m: nll = k (r - 1 - log r) + [log Gamma(k) - k log k + k],  base = log y; by log k
 * the gradient is k (r - 1 - log r) + k (digamma(k) - log k). The two have no Fisher information in common. */
INLINE Point gamma_shape_of(Obs o, Mean m)
{
    Scale k = scale_of(o.z[1], &o);
    Shape s = shape_of(k.scale, k.log_scale, o.want);
    V r = o.y * m.inverse, d = r - C(1), log_r = log_called(o.y) - m.log_mean;
    V excess = product(k.scale, select(abs_(d) < C(0.5), -log1pmx_called(d), d - log_r)), beyond = product(k.scale, d);
    V log_rate = k.log_scale - m.log_mean;       /* finite for finite logits: others keep what IEEE makes of them */
    Mask rare = both(is_finite(log_rate), either(k.scale < C(REAL_MIN), r > C(REAL_MAX)));
    V bent = C(0);                               /* curve k r where k r alone is infinite */
    V turn = product(k.scale, m.up_slope + o.y * m.inverse_bend);
    Mask over = first_lanes(0);
    if (any_lane(rare)) {                        /* k r is finite where k or r has left the range of the type */
        V kr = exp_called(log_rate) * o.y;
        Mask far = kr > C(REAL_MAX);             /* infinite whatever is subtracted */
        beyond = select(rare, select(far, kr, kr - k.scale), beyond);
        excess = select(rare, select(far, kr, beyond - times(k.scale, log_r)), excess);
        V share = select(m.inverse_bend == m.inverse, C(1), m.inverse_bend * m.mean);  /* of r, in what r turns by */
        turn = select(rare, product(k.scale, m.up_slope) + times(share, kr), turn);
        over = both(rare, far), bent = exp_called(log_rate + log_called(k.curve)) * o.y;
    }
    V g = excess + s.score, residual = -beyond * m.up;
    return (Point){.mean = m.mean, .param = {m.mean, k.scale},
                   .variance = square_over(m.mean, m.log_mean, k.scale, k.log_scale), .nll = excess + s.nll,
                   .grad = {residual, g * k.slope}, .fisher = {k.scale * m.up * m.up, s.information * steep(k)},
                   .curv = {turn,
                            select(over, bent, times(k.curve, g)) + s.information * steep(k)},
                   .curv_pair = {residual * k.slope}};
}

INLINE V log_target(Obs o) { return log_called(o.y); }

LIKELIHOOD(gamma, 1, positive, gamma_base)
LINKABLE(gamma, 1)
HOT_AHEAD(gamma, log, inverse, 1, CHAINED | RELATIVE)
COLD(gamma, canonical, 1, CANONICAL, not_negative)
COLD(gamma, reciprocal_softplus, 1, CHAINED | RELATIVE, NULL)
LIKELIHOOD(gamma_shape, 1, positive, log_target)
LINKABLE(gamma_shape, 2)
COLD(gamma_shape, log, 2, OWN, NULL)
COLD(gamma_shape, canonical, 2, OWN, not_negative)
COLD(gamma_shape, reciprocal_softplus, 2, OWN, NULL)
