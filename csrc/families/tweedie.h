/* Tweedie, 1 < p < 2, dispersion f: the quasi-likelihood nll = (m^(2-p) / (2-p) - y m^(1-p) / (1-p)) / f of a compound
 * Poisson-Gamma with variance f m^p. It has the gradient of the full likelihood, whose terms in y and f alone are a series
 * (Dunn & Smyth 2005) that is left out: values compare at one p and one f only.  Joergensen (1997), chapter 4.
 * The powers are formed from log m, so that neither underflows before its product with the other would. */
INLINE V exp_product(V a, V b)                   /* exp(a b), with the digits that a b loses */
{
    Exact product = two_prod(a, max_(min_(b, C(1e4)), C(-1e4)));
    return exp_called(product.sum) * (C(1) + product.error);
}

INLINE Point tweedie_of(Obs o, Mean m)
{
    V p = o.fixed.power, per = o.fixed.per_dispersion, up = m.up;
    V rise = exp_product(C(2) - p, m.log_mean) * per, fall = times(o.y, exp_product(C(1) - p, m.log_mean)) * per;
    V g = (rise - fall) * up;
    return (Point){.mean = m.mean, .variance = o.fixed.dispersion * exp_product(p, m.log_mean),
                   .nll = rise / (C(2) - p) - fall / (C(1) - p), .grad = {g}, .fisher = {rise * up * up},
                   .curv = {((C(2) - p) * rise - (C(1) - p) * fall) * up * up + times(m.up_slope, rise - fall)}};
}

LIKELIHOOD(tweedie, 1, outside_nonnegative, NULL)
LINKABLE(tweedie, 1)
COLD(tweedie, log, 1, OWN, NULL)
COLD(tweedie, softplus, 1, OWN, NULL)
