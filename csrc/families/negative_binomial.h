/* Negative binomial with mean m and concentration r (variance m + m^2 / r), NB2 of Hilbe (2011), chapter 8; with x = m / r:
 * nll = (y + r) log(1 + x) - y log m,  base = log y! - log[(r)_y / r^y], the rising factorial as a Stirling difference, so
 * that r -> infinity becomes the Poisson term by term.  Neither x nor 1 / x overflows: t is the smaller of the two. */
typedef struct { V x, t, log1p_x, p, q; } Odds;  /* p = r / (r + m), q = m / (r + m) */

INLINE Odds odds_of(Mean m, V r, V log_r)
{
    V x = m.mean / r;
    Mask above = x > C(1);
    V t = select(above, r * m.inverse, x), per = C(1) / (C(1) + t), l = log1p_unit(t);
    return (Odds){.x = x, .t = t, .log1p_x = select(above, m.log_mean - log_r + l, l),
                  .p = select(above, t * per, per), .q = select(above, per, t * per)};
}

/* With respect to log m: gradient (m - y) p, written r q - y p where m may overflow. */
INLINE Point negative_binomial_mean(Obs o, Mean m, V r, Odds d)
{
    V g = select(d.x > C(1), r * d.q - times(o.y, d.p), (m.mean - o.y) * d.p), up = m.up;
    return (Point){.mean = m.mean, .variance = m.mean + m.mean * d.x,
                   .nll = (o.y + r) * d.log1p_x - times(o.y, m.log_mean), .grad = {g * up},
                   .curv = {d.p * d.q * (r + o.y) * up * up + g * up * (m.bend - up)}, .fisher = {r * d.q * up * up}};
}

INLINE Point negative_binomial_of(Obs o, Mean m)
{
    V r = o.fixed.parameter;
    return negative_binomial_mean(o, m, r, odds_of(m, r, vlog(r)));
}

INLINE V negative_binomial_base(Obs o)
{
    return vlog_factorial(o.y) - gamma_ratio(o.fixed.parameter, o.y).log;
}

LIKELIHOOD(negative_binomial, 1, outside_counts, negative_binomial_base)
LINKED(negative_binomial, log, OWN, NULL, HOT)
LINKED(negative_binomial, softplus, OWN, NULL, COLD)
