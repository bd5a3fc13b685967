/* Tweedie, 1 < p < 2, dispersion f: the quasi-likelihood nll = (m^(2-p) / (2-p) - y m^(1-p) / (1-p)) / f of a compound
 * Poisson-Gamma with variance f m^p. It has the gradient of the full likelihood, whose terms in y and f alone are a series
 * (Dunn & Smyth 2005) that is left out: values compare at one p and one f only.  Joergensen (1997), chapter 4.
 * The powers are formed from log m, so that neither underflows before its product with the other would. */
INLINE Point tweedie_of(Obs o, Mean m)
{
    V p = o.fixed.power, per = o.fixed.per_dispersion, up = m.up;
    V rise = vexp((C(2) - p) * m.log_mean) * per, fall = times(o.y, vexp((C(1) - p) * m.log_mean)) * per;
    V g = (rise - fall) * up;
    return (Point){.mean = m.mean, .variance = o.fixed.dispersion * vexp(p * m.log_mean),
                   .nll = rise / (C(2) - p) - fall / (C(1) - p), .grad = {g}, .fisher = {rise * up * up},
                   .curv = {((C(2) - p) * rise - (C(1) - p) * fall) * up * up + g * (m.bend - up)}};
}

LIKELIHOOD(tweedie, 1, outside_nonnegative, NULL)
LINKED(tweedie, log, OWN, NULL, COLD)
LINKED(tweedie, softplus, OWN, NULL, COLD)
