/* Bernoulli with soft targets, and Binomial with y successes and y2 failures: for Bernoulli y2 = 1 - y.
 * nll = -y log p - y2 log(1 - p),  V(p) = p (1 - p).  Canonical link: logit.  McCullagh & Nelder (1989), section 4.4.
 * The base of the Binomial is minus the log of the number of orders, log C(y + y2, y). */
INLINE Point bernoulli_of(Obs o, Mean m)
{
    return (Point){.mean = m.mean, .rest = m.rest, .nll = -(times(o.y, m.log_mean) + times(o.y2, m.log_rest)),
                   .variance = m.mean * m.rest, .up = m.up, .down = m.down,
                   .curv = {times(o.y2, m.down_slope) - times(o.y, m.up_slope)}};
}

/* The canonical pair, for speed: with t = exp(-|z|) the nll is |z| for each target on the unlikely side plus log1p(t) for
 * each; both terms are positive, so nothing cancels. */
INLINE Point bernoulli_logit(Obs o)
{
    V z = o.z[0];
    Logistic l = logistic_from(z, o.bare ? o.begun : odds_lifted(z));
    V plain = times_in(&o, select(z > C(0), o.y2, o.y), abs_(z));
    return (Point){.mean = l.sigmoid, .rest = l.rest, .variance = l.sigmoid * l.rest, .plain = plain, .odds = l.t,
                   .nll = plain + o.count * l.log1p_t};
}

INLINE V binomial_base(Obs o) { return -vlog_choose(o.y + o.y2, o.y); }

LIKELIHOOD(bernoulli, 1, unit, NULL)
LINKABLE(bernoulli, 1)
HOT_WHOLE(bernoulli, logit, bernoulli_logit, odds_of_first, 1, PROPORTION | FACTORED)
COLD(bernoulli, probit, 1, PROPORTION | CHAINED, NULL)
COLD(bernoulli, cloglog, 1, PROPORTION | CHAINED, NULL)
COLD(bernoulli, loglog, 1, PROPORTION | CHAINED, NULL)
COLD(bernoulli, cauchit, 1, PROPORTION | CHAINED, NULL)
LIKELIHOOD(binomial, 2, counts, binomial_base)
SPEC(binomial, logit, bernoulli_logit_apart, NULL, NULL, NULL, 1, PROPORTION, NULL)
SPEC(binomial, probit, bernoulli_apart, probit_apart, NULL, NULL, 1, PROPORTION | CHAINED, NULL)
SPEC(binomial, cloglog, bernoulli_apart, cloglog_apart, NULL, NULL, 1, PROPORTION | CHAINED, NULL)
