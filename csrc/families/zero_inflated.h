/* ZeroInflated: with probability s = sigmoid(g) a structural zero, else a count of the family inside; g is the last logit.
 * With n the nll that the family gives y = 0, P(0) = s + (1 - s) exp(-n) = 1 - (1 - s) (1 - exp(-n)), and a zero is a
 * structural one with probability t = s / P(0) = sigmoid(g + n):  y = 0: nll = -log P(0), gradient (1 - t) dn, s - t;
 * y > 0: nll = nll inside - log(1 - s), gradient that inside, s.  The base is that inside.  Lambert (1992).
 * s - t = -t (1 - s) (1 - exp(-n)), which does not cancel; the derivatives of n are n times those of log n. */
typedef struct { Logistic s, t; V some, delta, n, drop, cross; } Inflation;    /* some = 1 - P(0), delta = t - s */
INLINE Inflation inflation_of(V g, V n)
{
    Inflation f = {.s = logistic_called(g), .t = logistic_of_sum(g, n), .n = n};
    f.some = f.s.rest * -expm1_nonpositive(-n), f.delta = f.t.sigmoid * f.some;
    f.drop = times(f.t.rest, n), f.cross = f.t.sigmoid * f.t.rest;
    return f;
}

INLINE void zero_inflated_curvature(const Inflation *f, Mask zero, int inner, Point *p)
{
    const None *e = &p->none;
    V d[2] = {C(0), C(0)};
    for (int k = 0; k < inner; k++) {
        d[k] = f->n * e->up[k];
        V at_zero = times(f->drop, e->up_slope[k] + e->up[k] * e->up[k]) - times(f->cross, d[k] * d[k]);
        p->curv[k] = select(zero, at_zero, p->curv[k]);
    }
    V pair = times(f->drop, e->up_cross + e->up[0] * e->up[1]) - times(f->cross, d[0] * d[1]);
    if (inner == 2) p->curv_pair[0] = select(zero, pair, p->curv_pair[0]);
    for (int k = 0; k < inner; k++) p->curv_pair[inner - 1 + k] = select(zero, -times(f->cross, d[k]), C(0));
    p->curv[inner] = select(zero, f->delta * (f->s.sigmoid - f->t.rest), f->s.sigmoid * f->s.rest);
}

/* Expectations over y, which need no sum: (1 - s) (that inside - t exp(-n) dn dn'), and s delta for the gate. */
INLINE void zero_inflated_fisher(const Inflation *f, V counts, int inner, Point *p)
{
    const None *e = &p->none;
    V share = f->t.sigmoid * exp_nonpositive(-f->n), lost = times(share, f->n);
    for (int k = 0; k < inner; k++) {
        V slope = counts * e->up[k];
        p->fisher[k] = product(counts, e->spare[k]) + times(k ? -lost : C(1) - lost, slope * e->up[k]);
        p->fisher_pair[inner - 1 + k] = -times(share, slope);
    }
    if (inner == 2) p->fisher_pair[0] = -times(lost, counts * e->up[0] * e->up[1]);
    p->fisher[inner] = f->s.sigmoid * f->delta;
}

SELDOM void zero_inflated(const Obs *o, const Mean *m, int inner, Point *p)
{
    Inflation f = inflation_of(o->z[inner], p->none.nll);
    Mask zero = o->y == C(0);
    V log_rest = -f.s.softplus, structural = f.s.log1p_t + max_(-o->z[inner], C(0));         /* -log s */
    V least = min_(f.s.softplus + f.n, structural) - f.t.log1p_t;
    p->nll = select(zero, select(f.some < C(0.5), -log1p_called(-f.some), least), p->nll + f.s.softplus);
    for (int k = 0; k < inner; k++) p->grad[k] = select(zero, times(f.drop, p->none.up[k]), p->grad[k]);
    p->grad[inner] = select(zero, -f.delta, f.s.sigmoid);
    if (o->want & MEAN) {
        V mean = p->mean;
        p->param[inner] = f.s.sigmoid, p->mean = product_of(f.s.rest, log_rest, mean, m->log_mean);
        p->variance = p->mean + product(p->mean, times(f.s.sigmoid, mean))
                    + product_of(p->mean, log_rest + m->log_mean, p->none.excess, p->none.log_excess);
    }
    if (o->want & CURVATURE) zero_inflated_curvature(&f, zero, inner, p);
    if (o->want & FISHER) zero_inflated_fisher(&f, product_of(f.s.rest, log_rest, f.n, p->none.log_nll), inner, p);
}

EACH_COUNT(GATED, zero_inflated)
