/* Negative binomial with mean m and concentration r (variance m + m^2 / r), NB2 of Hilbe (2011), chapter 8; with x = m / r:
 * nll = (y + r) log(1 + x) - y log m - log[(r)_y / r^y],  base = log y!, the rising factorial as a Stirling difference, so
 * that r -> infinity becomes the Poisson term by term. r is fixed (its rising factorial is then part of the base) or
 * predicted. p = r / (r + m) and q = m / (r + m). */
typedef struct { V value, log; Odds odds; V q; } Concentration;            /* q: r q = m p */
INLINE Concentration concentration_of(V r, V log_r, Mean m)
{
    log_r = max_(log_r, -LARGEST);                              /* so that y log r is finite */
    Odds d = odds_of(m.mean, r, m.log_mean - log_r);
    return (Concentration){r, log_r, d, select(d.above, r * d.q, m.mean * d.p)};
}

/* n = r log(1 + x) has the derivative r q by log m: with `share` = q / log(1 + x), log n has `share` by log m and 1 - share
 * = `late` by log r, and d late / dlog m = share k = -d late / dlog r, k = share - p. Where x is small all but share go like x. */
SELDOM None negative_binomial_none(Mean m, Concentration r)
{
    Odds d = r.odds;
    Mask small = d.q < C(REAL_EPSILON / 4);
    V l = d.log1p_x, half = C(0.5) * d.x, over = select(d.above, d.x - l, -log1pmx_called(d.x)) / l;   /* x / log(1 + x) - 1 */
    V part = d.q / l, late = select(small, half, select(d.above, C(1) - part, d.q * d.x / l - over));
    V share = select(d.above, part, C(1) - late);
    V k = select(d.above, share - d.p, d.q - late), n = select(small, m.mean, r.value * l), per = select(small, half, over);
    return (None){.nll = n, .log_nll = select(d.above, r.log + log_called(l), m.log_mean - log1p_called(per)), .up = {share * m.up, late},
                  .up_slope = {share * (m.up_slope - k * m.up * m.up), -share * k}, .up_cross = share * k * m.up,
                  .spare = {share * late * m.up * m.up}, .per_nll = per, .excess = d.x, .log_excess = d.log_x};
}

/* With respect to log m: gradient (m - y) p, or r q - y p where m may overflow. */
INLINE Point negative_binomial_mean(Obs o, Mean m, Concentration r)
{
    Odds d = r.odds;
    V up = m.up, g = select(d.above, r.q - times(o.y, d.p), (m.mean - o.y) * d.p);
    V empty = select(d.q < C(REAL_EPSILON / 4), m.mean, r.value * d.log1p_x);
    return (Point){.mean = m.mean, .variance = m.mean + square_over(m.mean, m.log_mean, r.value, r.log),
                   .nll = empty + o.y * d.log1p_t - times(o.y, select(d.above, r.log, m.log_mean)), .grad = {g * up},
                   .curv = {(d.p * r.q + times(o.y, d.p * d.q)) * up * up + times(m.up_slope, g)}, .fisher = {r.q * up * up},
                   .none = o.want & NOTHING ? negative_binomial_none(m, r) : (None){.nll = C(0)}};
}

INLINE Point negative_binomial_of(Obs o, Mean m)
{
    V r = o.fixed.parameter;
    return negative_binomial_mean(o, m, concentration_of(r, log_called(r), m));
}

/* log[(r)_y / r^y] and its derivative by log r: the sums of log(1 + j / r) and of -j / (r + j) over j < y. Of a collapsed r
 * the first is log (y - 1)! - (y - 1) log r; of an r far beyond y both are y (y - 1) / (2 r). */
INLINE GammaRatio rising(V y, Concentration r)
{
    GammaRatio g = gamma_ratio(max_(min_(r.value, LARGEST), SMALLEST), y);
    Mask collapsed = r.value < SMALLEST, far = y < r.value * C(REAL_EPSILON), several = y > C(1);
    V limit = C(0.5) * y * ((y - C(1)) / r.value);
    V late = select(collapsed, (C(1) - y) * (r.log - log_called(SMALLEST)), C(0));
    return (GammaRatio){select(several, select(far, limit, g.log + late), C(0)),
                        select(several, select(far, -limit, g.slope), C(0))};
}

/* exp(z) E_{1+r}(z), the integral of exp(-r u - z (exp(u) - 1)) over u > 0, from log z: as long as z exp(u) < 1e-5 it is
 * that of exp(-r u), and from there on Gauss and Legendre's rule on 12 points, up to where the exponent is -12: fewer
 * points or another end, and the relative error passes the 1e-5 that is left out at the beginning. */
APART V exponential_integral(V r, V log_z)
{
    static const real node[] = {0.12523340851146892, 0.36783149899818019, 0.58731795428661748, 0.76990267419430469,
        0.90411725637047486, 0.98156063424671924};
    static const real weight[] = {0.24914704581340277, 0.23349253653835481, 0.20316742672306592, 0.16007832854334623,
        0.10693932599531843, 0.04717533638651183};
    V before = max_(C(-11.512925464970229) - log_z, C(0)), z = exp_called(log_z + before);
    V half = C(0.5) * min_(log1p_called(C(12) / z), C(12) / r), sum = C(0);
    for (int i = 0; i < 12; i++) {
        V u = half * C(i < 6 ? 1 - node[i] : 1 + node[i - 6]);
        sum = fma_(exp_nonpositive(-fma_(r, u, z * vexpm1(u))), splat(weight[i % 6]), sum);
    }
    V early = select(r * before < C(REAL_MIN), before, -expm1_nonpositive(-r * before) / r);
    return early + exp_called(-r * before) * half * sum;
}
/* The Fisher information of log r over r q: the sum of (n - 1)! q^(n - 1) / (n (r + 1) ... (r + n - 1)) over n > 1, from
 * d information / dq = r q / (r + 1) 2F1(1, 2; r + 2; q). Two terms at a time, as long as they matter: from one to
 * the next it is q n^2 / ((n + 1) (r + n)). Terms from N on go like (n + c)^-(1 + r) q^n / n with
 * c = r (r - 1) / (2 (r + 1)): by Euler and Maclaurin their sum is the first one times
 * (N + c) exp(z) E_{1+r}(z) + 1/2 + ((1 + r) / (N + c) - log q) / 12,  z = -(N + c) log q. Right to 1e-5. */
APART V concentration_information(V r, Odds d)
{
    enum { N = 40, BLOCK = 8 };
    V finite = min_(r, C(1e15)), term = C(0.5) * d.q / (min_(r, LARGEST) + C(1)), sum = C(0);      /* of n = 2 */
    Mask more = term > C(0);
    for (int i = 2; i < N && any_lane(more); i += 2) {
        real n = (real)i;
        V a = finite + C(n), b = a + C(1), per = d.q / (a * b * C((n + 1) * (n + 2)));
        V next = term * (b * C(n * n * (n + 2)) * per);
        sum = sum + (term + next), term = term * (d.q * C(n * (n + 1) * n * (n + 1)) * per);
        if ((i + 2) % BLOCK == 0) more = term > sum * C(1e-8), term = select(more, term, C(0));
    }
    if (!any_lane(more)) return sum;
    V c = min_(C(0.5) * finite * ((finite - C(1)) / (finite + C(1))), C(N));
    V log_rate = select(d.log_x > C(30), -d.log_x, log_called(-d.log_q));                    /* log(-log q) */
    V rest = exponential_integral(min_(r, LARGEST), log_rate + log_called(C(N) + c));
    V half = C(0.5) + ((C(1) + finite) / (C(N) + c) - d.log_q) * C(1.0 / 12);
    return sum + times(term * C(N), (C(1) + c * C(1.0 / N)) * rest + half * C(1.0 / N));
}

/* With respect to log r: gradient r (log(1 + x) - q) - y q - rise, with r (log(1 + x) - x) + q m for the first term where x
 * is small, rise being that of the rising factorial. The mean and log r have no Fisher information in common. */
INLINE Point negative_binomial_concentration_of(Obs o, Mean m)
{
    Scale s = scale_of(o.z[1], &o);
    Concentration r = concentration_of(s.scale, s.log_scale, m);
    Odds d = r.odds;
    Point p = negative_binomial_mean(o, m, r);
    GammaRatio rise = rising(o.y, r);
    V bent = select(d.x < C(REAL_EPSILON / 4), C(-0.5) * m.mean * d.x,                   /* x^2 may be 0 */
                    times(vlog1pmx(d.x), s.scale));
    V free = select(d.above, s.scale * (d.log1p_x - d.q), bent + d.q * m.mean);
    V g = free - times(o.y, d.q) - rise.slope;
    p.param[0] = p.mean, p.param[1] = s.scale, p.nll = p.nll - rise.log, p.grad[1] = g * s.slope;
    if (o.want & CURVATURE) {
        V finite = max_(min_(s.scale, LARGEST), SMALLEST), n = finite + o.y, share = finite / n;
        V second = share * share * shape_information(n) - shape_information(finite) + o.y / n * o.y;
        V ypq = times(o.y, d.p * d.q);
        p.curv[1] = times(s.curve, g) + (times(o.y, d.q) - r.q * d.q + ypq - second) * steep(s);
        p.curv_pair[0] = (r.q * d.q - ypq) * m.up * s.slope;
    }
    V information = o.want & FISHER ? concentration_information(s.scale, d) * steep(s) : C(0);
    p.fisher[1] = r.q * information;
    p.none.spare[1] = (C(1) - p.none.up[1]) * information;
    p.none.up_slope[1] = p.none.up_slope[1] * steep(s) + p.none.up[1] * s.bend;
    p.none.up[1] = p.none.up[1] * s.slope, p.none.up_cross = p.none.up_cross * s.slope;
    return p;
}

INLINE V negative_binomial_base(Obs o) { return log_factorial(o) - gamma_ratio(o.fixed.parameter, o.y).log; }

LIKELIHOOD(negative_binomial, 1, counts, negative_binomial_base)
LINKABLE(negative_binomial, 1)
COLD(negative_binomial, log, 1, OWN, NULL)
COLD(negative_binomial, softplus, 1, OWN, NULL)
LIKELIHOOD(negative_binomial_concentration, 1, counts, log_factorial)
LINKABLE(negative_binomial_concentration, 2)
HOT_LARGE(negative_binomial_concentration, log, odds_of_second, 2, OWN)
COLD(negative_binomial_concentration, softplus, 2, OWN, NULL)
