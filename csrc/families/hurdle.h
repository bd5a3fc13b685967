/* Hurdle: with probability s = sigmoid(g) a zero, else a count of the family inside that is not 0; g is the last logit.
 * With n the nll that the family gives y = 0:  y = 0: nll = -log s;  y > 0: nll = nll inside + log(1 - exp(-n)) - log(1 - s).
 * The two parts share no logit, so neither gradient nor information.  The base is that inside.  Mullahy (1986).
 * With B = n / (exp(n) - 1) and E = n + B - 1, log(1 - exp(-n)) has the derivatives B up and B (up' - E up up), up being
 * that of log n: nothing vanishes or cancels where n goes to 0 and what is left of the counts is 1. */
typedef struct { Logistic s; V n, b, e, left, some, log_some; } Clearing;      /* left = 1 - B, some = 1 - exp(-n) */
INLINE Clearing clearing_of(V g, None e)
{
    Decay d = decay_of(e.nll, C(0));
    Clearing c = {.s = logistic_called(g), .n = e.nll, .b = bernoulli_ratio(e.nll, d), .some = d.share};
    c.e = bernoulli_excess(c.n, c.b), c.left = select(c.n < C(0.5), c.n - c.e, C(1) - c.b);
    c.log_some = select(e.log_nll < SOFTPLUS_TAIL, e.log_nll - C(0.5) * c.n, decay_log_share(c.n, d));
    return c;
}
INLINE V nan_or_zero(V x) { return select(is_nan(x), x, C(0)); }

/* Of the counts > 0 the mean is mean / (1 - exp(-n)) = (mean / n) (n + B), the variance that times (1 - B + spread). */
INLINE void hurdle_mean(const Clearing *c, const Mean *m, int inner, Point *p)
{
    const None *e = &p->none;
    V log_rest = -c->s.softplus, whole = c->n + c->b, mean = whole + product(whole, e->per_nll);
    V log_share = log_rest + m->log_mean - c->log_some, spread = e->excess - times(c->b, e->per_nll);
    V share = product_of(c->s.rest, log_rest, p->mean, m->log_mean) / c->some;
    Mask far = both(mean > C(REAL_MAX), c->n >= C(REAL_MIN));
    p->param[inner] = c->s.sigmoid;
    p->mean = select(far, share, product_of(c->s.rest, log_rest, mean, m->log_mean - c->log_some));
    p->variance = product(p->mean, c->left + times(c->s.sigmoid, mean))
                + product_of(p->mean, log_share, select(e->excess > C(REAL_MAX), e->excess, spread), e->log_excess);
}

INLINE void hurdle_curvature(const Clearing *c, Mask zero, int inner, Point *p)
{
    const None *e = &p->none;
    for (int k = 0; k < inner; k++) {
        V counts = p->curv[k] + times(c->b, e->up_slope[k] - times(c->e, e->up[k] * e->up[k]));
        p->curv[k] = select(zero, nan_or_zero(p->curv[k]), counts);
    }
    V counts = p->curv_pair[0] + times(c->b, e->up_cross - times(c->e, e->up[0] * e->up[1]));
    if (inner == 2) p->curv_pair[0] = select(zero, nan_or_zero(p->curv_pair[0]), counts);
    for (int k = 0; k < inner; k++) p->curv_pair[inner - 1 + k] = C(0);
    p->curv[inner] = c->s.sigmoid * c->s.rest;
}

/* That of a count > 0 is n / (1 - exp(-n)) (information inside / n - B up up). */
INLINE void hurdle_fisher(const Clearing *c, V counts, int inner, Point *p)
{
    const None *e = &p->none;
    for (int k = 0; k < inner; k++) {
        p->fisher[k] = product(counts, e->spare[k]) + times(k ? -c->b : c->left, counts * e->up[k] * e->up[k]);
        p->fisher_pair[inner - 1 + k] = C(0);
    }
    if (inner == 2) p->fisher_pair[0] = -times(c->b, counts * e->up[0] * e->up[1]);
    p->fisher[inner] = c->s.sigmoid * c->s.rest;
}

SELDOM void hurdle(const Obs *o, const Mean *m, int inner, Point *p)
{
    const None *e = &p->none;
    Clearing c = clearing_of(o->z[inner], *e);
    Mask zero = o->y == C(0);
    V structural = c.s.log1p_t + max_(-o->z[inner], C(0)), log_rest = -c.s.softplus, whole = c.n + c.b;
    V counts = select(p->nll == INF, INF, p->nll + c.log_some);      /* also of a mean of 0, where log some is -infinite */
    p->nll = select(zero, structural + nan_or_zero(p->nll), counts + c.s.softplus);
    for (int k = 0; k < inner; k++)
        p->grad[k] = select(zero, nan_or_zero(p->grad[k]), p->grad[k] + times(c.b, e->up[k]));
    p->grad[inner] = select(zero, -c.s.rest, c.s.sigmoid);
    if (o->want & MEAN) hurdle_mean(&c, m, inner, p);
    if (o->want & CURVATURE) hurdle_curvature(&c, zero, inner, p);
    if (o->want & FISHER) hurdle_fisher(&c, product_of(c.s.rest, log_rest, whole, e->log_nll - c.log_some), inner, p);
}

EACH_COUNT(GATED, hurdle)
