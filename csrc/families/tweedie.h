/* Tweedie, 1 < p < 2, dispersion f: a Poisson number of Gamma amounts, with variance f m^p.
 * nll = (m^(2-p) / (2-p) - y m^(1-p) / (1-p)) / f,  base: a series, see below.  Joergensen (1997), chapter 4.
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

/* The base of y > 0 is log y - log of the sum of W_j, the share of j amounts (Dunn & Smyth 2005, Series evaluation of
 * Tweedie exponential dispersion model densities). With b = (2-p) / (p-1), s(k) = log Gamma(k) - k log k + k and the peak
 * t = y^(2-p) / (f (2-p)), log W_j = (1 + b) (j - j log(j/t)) - log j - s(j) - s(b j): beside (1 + b) t, which the nll
 * takes away again, it falls like a Gaussian of variance t / (1 + b). From the peak outwards all terms are added or,
 * where the deviation is above 7, points half a deviation apart: there the trapezoidal rule is exact to rounding. */
enum { TERMS = 128 };
INLINE V tweedie_term(V j, V d, V t, V log_t, V b)               /* log W_j - (1 + b) t for j = t (1 + d) */
{
    Mask near = abs_(d) < C(0.5);
    V bent = select(near, fma_(C(1) + d, log1pmx_called(d), d * d), j * ((log_called(j) - log_t) - C(1)) / t + C(1));
    return -(C(1) + b) * t * bent - log_called(j) - gamma_shape(j).nll - gamma_shape(b * j).nll;
}
SELDOM V tweedie_base(Obs o)
{
    V p = o.fixed.power, b = (C(2) - p) / (p - C(1)), y = max_(o.y, C(REAL_MIN));
    V log_t = (C(2) - p) * log_called(y) - log_called(o.fixed.dispersion * (C(2) - p));
    V t = max_(exp_called(log_t), C(REAL_MIN));
    V deviation = sqrt_(t / (C(1) + b)), step = select(deviation < C(7), C(1), C(0.5) * deviation);
    V first = select(deviation < C(7), max_((t + ROUNDER) - ROUNDER, C(1)), t), lag = first - t, sum = C(1);
    V head = tweedie_term(first, lag / t, t, log_t, b);
    for (int side = -1; side < 2; side += 2) for (int i = 1; i < TERMS / 2; i++) {
        V shift = C(side * i) * step, j = first + shift;
        V term = tweedie_term(max_(j, C(1)), (lag + shift) / t, t, log_t, b);
        V part = select(j < C(1), C(0), exp_called(term - head));
        sum = sum + part;
        if (!any_lane(part > sum * C(REAL_EPSILON / 4))) break;      /* from here on no lane's sum would change */
    }
    return select(o.y > C(0), (log_called(y) - (C(1) + b) * t) - (head + log_called(sum * step)), C(0));
}

LIKELIHOOD(tweedie, 1, nonnegative, tweedie_base)
LINKABLE(tweedie, 1)
COLD(tweedie, log, 1, OWN, NULL)
COLD(tweedie, softplus, 1, OWN, NULL)
