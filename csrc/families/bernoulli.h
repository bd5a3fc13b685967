/* Bernoulli with soft targets, and Binomial with y successes and y2 failures: for Bernoulli y2 = 1 - y.
 * nll = -y log p - y2 log(1 - p),  V(p) = p (1 - p).  Canonical link: logit.  McCullagh & Nelder (1989), section 4.4.
 * The base of the Binomial is minus the log of the number of orders, log C(y + y2, y). */
INLINE Point bernoulli_of(Obs o, Mean m)
{
    return (Point){.mean = m.mean, .rest = m.rest, .nll = -(times(o.y, m.log_mean) + times(o.y2, m.log_rest)),
                   .variance = m.mean * m.rest, .slope = m.slope, .bend = m.bend, .leverage = m.up + m.down,
                   .tilt = m.up - m.down};
}

/* The canonical pair, for speed: with t = exp(-|z|) the nll is |z| for each target on the unlikely side plus log1p(t) for
 * each; both terms are positive, so nothing cancels. */
INLINE Point bernoulli_logit(Obs o)
{
    V z = o.z[0];
    Logistic l = logistic(z);
    V spread = l.sigmoid * l.rest;
    return (Point){.mean = l.sigmoid, .rest = l.rest, .variance = spread, .slope = spread,
                   .nll = times(select(z >= C(0), o.y2, o.y), abs_(z)) + o.count * l.log1p_t};
}

INLINE V binomial_base(Obs o) { return -vlog_choose(o.y + o.y2, o.y); }

LIKELIHOOD(bernoulli, 1, outside_unit, NULL)
HEAD(bernoulli, logit, bernoulli_logit, 1, PROPORTION, NULL, HOT)
LINKED(bernoulli, probit, PROPORTION | CHAINED, NULL, COLD)
LINKED(bernoulli, cloglog, PROPORTION | CHAINED, NULL, COLD)
LINKED(bernoulli, loglog, PROPORTION | CHAINED, NULL, COLD)
LINKED(bernoulli, cauchit, PROPORTION | CHAINED, NULL, COLD)
LIKELIHOOD(binomial, 2, outside_counts, binomial_base)
HEAD(binomial, logit, bernoulli_logit, 1, PROPORTION, NULL, COLD)
HEAD(binomial, probit, bernoulli_probit, 1, PROPORTION | CHAINED, NULL, COLD)
HEAD(binomial, cloglog, bernoulli_cloglog, 1, PROPORTION | CHAINED, NULL, COLD)
