/* Beta with mean m and precision n, so that a = m n, b = (1 - m) n and the variance is m (1 - m) / (n + 1). With
 * S(k) = log Gamma(k) - k log k + k and KL the divergence of (m, 1 - m) from (y, 1 - y),
 * nll = S(a) + S(b) - S(n) + n KL,  base = log y + log(1 - y):  nothing of the size of n is left to cancel.
 * Ferrari & Cribari-Neto (2004).  Mean and precision share Fisher information. */

/* log(1 + x) - x where it is wanted, elsewhere the logarithm of the parts p: one polynomial either way. */
INLINE V bend_or_log(Mask bend, V x, LogParts p)
{
    LogParts q = log1p_parts(x);
    p.e = select(bend, q.e, p.e), p.f = select(bend, q.f, p.f), p.lost = select(bend, q.lost, p.lost);
    return log1pmx_join(p, select(bend, x, C(0)));
}
/* KL and logit y - logit m. With x = y / m - 1 and x' = (1 - y) / (1 - m) - 1, m x + (1 - m) x' = 0: where y is close
 * to the mean KL is m (x - log(1 + x)) + (1 - m) (x' - log(1 + x')), of terms that are all positive. */
typedef struct { V kl, gap; } Divergence;
INLINE Divergence divergence(V y, Mean m)
{
    V d = select(m.mean > m.rest, m.rest - (C(1) - y), y - m.mean), up = d / m.mean, down = -d / m.rest;
    Mask close = both(abs_(up) < C(0.5), abs_(down) < C(0.5));
    V l = bend_or_log(close, up, log_parts_lifted(y)), l2 = bend_or_log(close, down, log1p_parts(-y));
    l = select(close, l, l - m.log_mean), l2 = select(close, l2, l2 - m.log_rest);
    return (Divergence){-(times(m.mean, l) + times(m.rest, l2)), (l - l2) + select(close, up - down, C(0))};
}

/* A share of the precision, from logarithms where the share has underflowed or the precision overflowed. */
INLINE V part_of(V share, V log_share, Scale n)
{
    V a = share * n.scale;
    Mask beyond = either(share < C(REAL_MIN), n.scale > C(REAL_MAX));
    return any_lane(beyond) ? select(beyond, exp_sum(log_share, n.log_scale), a) : a;
}

/* S(a) + S(b) - S(n), and A = k (digamma(k) - log k), I = k^2 trigamma(k) - k of each. */
typedef struct { V nll, score_a, score_b, score_n, information_a, information_b, information_n; } Shapes;
INLINE V beyond(V k, V log_k)                                   /* S(k) - S(within(k)) */
{
    return select(k < SMALLEST, LOG_SMALLEST - log_k, select(k > LARGEST, C(0.5) * (LOG_LARGEST - log_k), C(0)));
}
INLINE Shapes shapes_of(V a, V log_a, V b, V log_b, Scale n, int want)
{
    V a_in = within(a), b_in = within(b), n_in = within(n.scale);
    BetaShape g = beta_shape(a_in, b_in, n_in);
    V late = beyond(a, log_a) + (beyond(b, log_b) - beyond(n.scale, n.log_scale));
    Shapes s = {.nll = g.nll + late, .score_a = a_in * g.a, .score_b = b_in * g.b, .score_n = n_in * g.n};
    if (want & (CURVATURE | FISHER)) {
        s.information_a = shape_information(a_in), s.information_b = shape_information(b_in);
        s.information_n = shape_information(n_in);
    }
    return s;
}

/* With respect to z1 and log n:
 * gradient ((1 - m) A(a) - m A(b) - flow gap, A(a) + A(b) - A(n) + n KL), flow = n m (1 - m);  Fisher information
 * ((1 - m)^2 I(a) + m^2 I(b) + flow, I(a) + I(b) - I(n)), and (1 - m) I(a) - m I(b) beside the diagonal. */
INLINE Point beta_of(Obs o, Mean m)
{
    Scale n = scale_of(o.z[1], &o);
    Divergence d = divergence(o.y, m);
    V a = part_of(m.mean, m.log_mean, n), b = part_of(m.rest, m.log_rest, n);
    Shapes s = shapes_of(a, m.log_mean + n.log_scale, b, m.log_rest + n.log_scale, n, o.want);
    V flow = select(m.mean < m.rest, a * m.rest, b * m.mean), excess = product(n.scale, d.kl);
    V free = m.rest * s.score_a - m.mean * s.score_b, g = free - product(flow, d.gap);
    V g2 = s.score_a + (s.score_b - s.score_n) + excess;
    V spread = m.rest * m.rest * s.information_a + m.mean * m.mean * s.information_b;
    V information = s.information_a + (s.information_b - s.information_n);
    V tilt = m.rest - m.mean, cross = m.rest * s.information_a - m.mean * s.information_b;
    return (Point){.mean = m.mean, .param = {m.mean, n.scale}, .variance = m.slope / (C(1) + n.scale),
                   .nll = s.nll + excess, .grad = {g, times(n.slope, g2)},
                   .fisher = {flow + spread, information * steep(n)}, .fisher_pair = {cross * n.slope},
                   .curv = {product(flow, C(1) - tilt * d.gap) + spread + tilt * free,
                            times(n.curve, g2) + information * steep(n)},
                   .curv_pair = {(g + cross) * n.slope}};
}

INLINE V beta_base(Obs o) { return log_called(o.y) + log1p_called(-o.y); }

LIKELIHOOD(beta, 1, open_unit, beta_base)
LINKABLE(beta, 2)
HOT_LARGE(beta, logit, odds_of_second, 2, OWN)
