/* Gaussian mixture: K components, of which every weight, mean and scale is predicted.  Bishop (2006), section 5.6.
 * Logits of a row [a: K, m: K d, c: K d], component by component; weights p = softmax(a), scales h(c), and with
 * u_kj = (y_j - m_kj) / scale_kj and l_k = log p_k - sum over j of (u^2 / 2 + log scale),
 * nll = -log sum of exp(l),  base = d log(2 pi) / 2,  responsibilities r = softmax(l): one set for all outputs.
 * With slope = d log scale / dc: gradient p - r; -r u / scale; r slope (1 - u^2).
 * The second derivative is the mean of the components' own ones under r minus the covariance of their scores,
 * Louis (1982). Its expectation has no closed form: `fisher` is the information of the complete data, in which the
 * component is seen as well: p_j (1[j = k] - p_k); p / scale^2; 2 p slope^2. That minus the true one is positive
 * semidefinite. Components that have collapsed or lie far off have r = 0, and 0 times whatever they say is 0. */
enum { COMPONENTS = 128, PARTS = 64 };           /* at most so many components; parts that are kept, not made twice */

typedef struct { Scale s; V u; } Part;           /* of one component and output */
typedef struct { V u, inverse, extra, slope, scale, log_scale; } Kept;         /* what all but curvatures need of it */
typedef struct {
    size_t components, outputs;
    Fixed fixed;
    Columns z, out, y, offset;                   /* of y and offset, `in` may be NULL */
    Kept *kept;                                  /* output by output; NULL without targets or where there are too many */
    real *a, *l, *prior_e, *e;                   /* logits of weights, log densities, their exponentials */
    Softmax prior, posterior;
} MixtureRows;

INLINE size_t mean_column(const MixtureRows *m, size_t k, size_t j) { return m->components + k * m->outputs + j; }
INLINE size_t scale_column(const MixtureRows *m, size_t k, size_t j)
{
    return mean_column(m, k, j) + m->components * m->outputs;
}
INLINE V mean_of(const MixtureRows *m, size_t k, size_t j)
{
    V mean = column(&m->z, mean_column(m, k, j));
    return m->offset.in ? mean + column(&m->offset, j) : mean;
}
INLINE V scale_logit(const MixtureRows *m, size_t k, size_t j) { return column(&m->z, scale_column(m, k, j)); }
INLINE V target_of(const MixtureRows *m, size_t j) { return m->y.in ? column(&m->y, j) : C(0); }
INLINE Part part_with(const MixtureRows *m, size_t k, size_t j, V y, Scale s)
{
    return (Part){s, (y - mean_of(m, k, j)) * s.inverse * s.extra};
}
APART Part part_at(const MixtureRows *m, size_t k, size_t j)
{
    return part_with(m, k, j, target_of(m, j), any_scale(scale_logit(m, k, j), &m->fixed));
}
/* The exponentials of the default scales come first, in the place of e: for the same reason as in bare_loop, and with the
 * same condition, that each of the logits is ordinary. */
INLINE int begin_scales(const MixtureRows *m, size_t j)
{
    I doubt = isplat(0);
    if (m->fixed.floored || m->fixed.scale_link != PS_SOFTPLUS) return 0;
    for (size_t k = 0; k < m->components; k++) {
        V c = scale_logit(m, k, j);
        doubt = doubt | outsized(c, ORDINARY_SCALE), store(m->e + k * (size_t)LANES, odds_lifted(c));
    }
    return !any_lane(doubted((Doubt){doubt, isplat(0)}));
}
INLINE Part begun_part(const MixtureRows *m, size_t k, size_t j, V y)
{
    V c = scale_logit(m, k, j);
    return part_with(m, k, j, y, softplus_scale_from(c, logistic_from(c, load(m->e + k * (size_t)LANES)), 1));
}
INLINE Kept kept_of(Part p) { return (Kept){p.u, p.s.inverse, p.s.extra, p.s.slope, p.s.scale, p.s.log_scale}; }
INLINE Kept kept_at(const MixtureRows *m, size_t k, size_t j)
{
    return m->kept ? m->kept[j * m->components + k] : kept_of(part_at(m, k, j));
}
INLINE Point prior_at(const MixtureRows *m, size_t k)
{
    return share_of(load(m->prior_e + k * (size_t)LANES), m->prior);
}
INLINE Point posterior_at(const MixtureRows *m, size_t k)
{
    return share_of(load(m->e + k * (size_t)LANES), m->posterior);
}

/* l, relative to the largest of the weights' logits. */
INLINE void log_density(MixtureRows *m, size_t k, size_t j, Part p)
{
    real *at = m->l + k * (size_t)LANES;
    V half = C(0.5) * p.u * p.u, l = load(at) - (half + p.s.log_scale);
    store(at, select(half == INF, -INF, l));
    if (m->kept) m->kept[j * m->components + k] = kept_of(p);
}
INLINE void log_densities(MixtureRows *m)
{
    for (size_t k = 0; k < m->components; k++)
        store(m->l + k * (size_t)LANES, load(m->a + k * (size_t)LANES) - m->prior.top);
    for (size_t j = 0; j < m->outputs; j++) {
        V y = target_of(m, j);
        if (begin_scales(m, j)) for (size_t k = 0; k < m->components; k++) log_density(m, k, j, begun_part(m, k, j, y));
        else for (size_t k = 0; k < m->components; k++) log_density(m, k, j, part_at(m, k, j));
    }
}
/* Where u^2 has overflowed for every component, the one with the smallest largest |u| is responsible. */
SELDOM void nearest_component(MixtureRows *m, Mask lost)
{
    V least = INF;
    for (int pass = 0; pass < 2; pass++) for (size_t k = 0; k < m->components; k++) {
        real *at = m->l + k * (size_t)LANES;
        V worst = select(load(m->a + k * (size_t)LANES) == -INF, INF, -INF);
        for (size_t j = 0; j < m->outputs; j++) {
            V log_u = log_called(abs_(target_of(m, j) - mean_of(m, k, j))) - part_at(m, k, j).s.log_scale;
            worst = max_(worst, log_u);
        }
        least = pass ? least : min_(least, worst);
        if (pass) store(at, select(lost, select(worst == least, C(0), -INF), load(at)));
    }
}
/* Sets the posterior; returns nll. */
INLINE V mixture_value(MixtureRows *m)
{
    Mask lost = first_lanes((size_t)LANES);
    for (size_t k = 0; k < m->components; k++) lost = both(lost, load(m->l + k * (size_t)LANES) == -INF);
    if (any_lane(lost)) nearest_component(m, lost);
    softmax_few(&m->posterior, m->components, m->l, m->e);
    V nll = vlog((C(1) + m->prior.others) * m->posterior.inverse) - m->posterior.top;
    return select(both(lost, negate(is_nan(nll))), INF, nll);
}

/* ---- outputs, by logit: of a weight, or of a mean and a scale ---- */
typedef struct { V m, c; } Own;
enum { MIX_PARAMS, MIX_CURVATURE, MIX_FISHER, MIX_GRAD, MIX_OUTPUTS };
INLINE V weight_output(const MixtureRows *m, size_t k, int output)
{
    Point p = prior_at(m, k), r = {.mean = C(0)};
    if (output == MIX_PARAMS) return p.mean;
    if (output == MIX_FISHER) return p.mean * p.rest;
    r = posterior_at(m, k);
    if (output == MIX_CURVATURE) return p.mean * p.rest - r.mean * r.rest;
    return p.mean * r.rest - r.mean * p.rest;    /* p - r: the residual, without cancellation next to 1 */
}
INLINE V twice(V x, V inverse, V extra)          /* x / scale^2 */
{
    return product(product(product(product(x, inverse), extra), inverse), extra);
}
/* A product x with the k-th weight, from the factors' logarithms where `far` or where the weight has underflowed. */
APART V with_weight(const MixtureRows *m, size_t k, V x, V log_factor, Mask far)
{
    far = either(far, prior_at(m, k).mean < C(REAL_MIN));
    if (!any_lane(far)) return x;
    Exact below = two_sum(load(m->a + k * (size_t)LANES), -m->prior.top), both_ = two_sum(below.sum, log_factor);
    Exact log = two_sum(both_.sum, -log1p_called(m->prior.rest));
    V error = below.error + both_.error + log.error, more = C(1) + select(abs_(error) < C(1), error, C(0));
    return select(both(far, below.sum > -INF), exp_called(log.sum) * more, x);
}
INLINE Own part_gradient(const MixtureRows *m, size_t k, size_t j)
{
    Kept p = kept_at(m, k, j);
    V r = posterior_at(m, k).mean;
    return (Own){.m = times(r, -p.u) * p.inverse * p.extra, .c = times(r * p.slope, (C(1) - p.u) * (C(1) + p.u))};
}
APART Own part_expected(const MixtureRows *m, size_t k, size_t j, int output)
{
    Kept p = kept_at(m, k, j);
    if (output == MIX_PARAMS) return (Own){.m = mean_of(m, k, j), .c = p.scale};
    V share = prior_at(m, k).mean, precision = twice(share, p.inverse, p.extra);
    return (Own){.m = with_weight(m, k, precision, C(-2) * p.log_scale, first_lanes(0)),
                 .c = C(2) * share * (p.slope * p.slope)};
}
SELDOM Own part_curvature(const MixtureRows *m, size_t k, size_t j)
{
    Part p = part_at(m, k, j);
    Point r = posterior_at(m, k);
    V steep_ = steep(p.s), most = r.rest * steep_, u2 = p.u * p.u;
    V bracket = (C(2) * (steep_ + most) - p.s.bend) - times(most, u2);
    return (Own){.m = twice(times(r.mean, C(1) - times(r.rest, u2)), p.s.inverse, p.s.extra),
                 .c = times(r.mean, (p.s.bend - most) + product(bracket, u2))};
}
INLINE Own part_output(const MixtureRows *m, size_t k, size_t j, int output)
{
    return output == MIX_CURVATURE ? part_curvature(m, k, j) : part_expected(m, k, j, output);
}
INLINE void mixture_write(const MixtureRows *m, Columns out, V factor, Mask live, int output)
{
    for (size_t k = 0; k < m->components; k++)
        set_column(&out, k, select(live, weight_output(m, k, output) * factor, C(0)));
    for (size_t j = 0; j < m->outputs; j++) for (size_t k = 0; k < m->components; k++) {
        Own x = output == MIX_GRAD ? part_gradient(m, k, j) : part_output(m, k, j, output);
        set_column(&out, mean_column(m, k, j), select(live, x.m * factor, C(0)));
        set_column(&out, scale_column(m, k, j), select(live, x.c * factor, C(0)));
    }
    write_columns(&out);
}
APART void mixture_write_any(const MixtureRows *m, Columns out, V factor, Mask live, int output)
{
    mixture_write(m, out, factor, live, output);
}

/* ---- whole matrices: between different logits of a row ---- */
typedef struct { size_t k, j; int kind; } Place;  /* kind: 0 of a weight, 1 of a mean, 2 of a scale */
INLINE Place place_of(const MixtureRows *m, size_t column)
{
    size_t each = m->components * m->outputs, at = (column - m->components) % each;
    if (column < m->components) return (Place){column, 0, 0};
    return (Place){at / m->outputs, at % m->outputs, column < m->components + each ? 1 : 2};
}
SELDOM V score_at(const MixtureRows *m, Place at)
{
    if (!at.kind) return C(-1);
    Part p = part_at(m, at.k, at.j);
    return at.kind == 1 ? -p.u * p.s.inverse * p.s.extra : times(p.s.slope, (C(1) - p.u) * (C(1) + p.u));
}
SELDOM V mixture_pair(const MixtureRows *m, size_t first, size_t second, int output)
{
    Place s = place_of(m, first), t = place_of(m, second);
    V p = times(prior_at(m, s.k).mean, prior_at(m, t.k).mean);
    if (output == MIX_FISHER) return s.kind || t.kind ? C(0) : -p;
    Point r = posterior_at(m, s.k), q = posterior_at(m, t.k);
    if (!s.kind && !t.kind) return r.mean * q.mean - p;
    if (s.k != t.k) return product(product(r.mean, score_at(m, s)), product(q.mean, score_at(m, t)));
    if (s.kind && t.kind && s.j == t.j) {        /* a mean and its scale */
        Part part = part_at(m, s.k, s.j);
        V u = part.u, both_ = times(r.mean, u * (C(2) + times(r.rest, (C(1) - u) * (C(1) + u))));
        return product(both_, part.s.slope) * part.s.inverse * part.s.extra;
    }
    return -product(product(r.mean, score_at(m, s)), product(r.rest, score_at(m, t)));
}
SELDOM V mixture_diagonal(const MixtureRows *m, size_t s, int output)
{
    Place at = place_of(m, s);
    if (!at.kind) return weight_output(m, at.k, output);
    Own own = part_output(m, at.k, at.j, output);
    return at.kind == 1 ? own.m : own.c;
}
SELDOM void mixture_matrix(const MixtureRows *m, real *out, size_t rows, V w, int output)
{
    size_t width = m->z.width;
    Mask live = w > C(0);
    for (size_t s = 0; s < width; s++) for (size_t t = 0; t <= s; t++) {
        V x = select(live, (s == t ? mixture_diagonal(m, s, output) : mixture_pair(m, s, t, output)) * w, C(0));
        for (size_t i = 0; i < rows; i++)
            out[(i * width + s) * width + t] = out[(i * width + t) * width + s] = lane(x, (int)i);
    }
}

/* ---- the distribution's moments, output by output ---- */
/* variance = sum of p scale^2 + sum over pairs of p p' (m - m')^2: nothing cancels. */
APART Point mixture_moments(const MixtureRows *m, size_t j)
{
    Sum total = no_sum(), variance = no_sum();
    for (size_t k = 0; k < m->components; k++) {
        Kept s = kept_at(m, k, j);
        V p = prior_at(m, k).mean, mean = mean_of(m, k, j), within = product(product(p, s.scale), s.scale);
        total = add(total, times(p, mean));
        variance = add(variance, with_weight(m, k, within, C(2) * s.log_scale, s.scale == INF));
        for (size_t l = 0; l < k; l++) {
            V gap = mean - mean_of(m, l, j);
            variance = add(variance, product(times(p, gap), times(prior_at(m, l).mean, gap)));
        }
    }
    return (Point){.mean = lane_sums(total), .variance = lane_sums(variance)};
}
INLINE void mixture_outputs(const MixtureRows *m, const ps_call *c, size_t row, size_t rows, V w)
{
    Columns room = m->out;
    size_t width = c->width, d = c->outputs, whole = c->flags & PS_BLOCK ? width * width : width;
    real *outs[MIX_OUTPUTS] = {c->params, c->curvature, c->fisher, c->grad};
    for (size_t j = 0; (c->mean || c->variance) && j < d; j++) {
        Point x = mixture_moments(m, j);
        Columns mean = {.out = (real *)c->mean + row * d, .rows = rows, .width = d}, variance = mean;
        variance.out = (real *)c->variance + row * d;
        if (c->mean) set_column(&mean, j, x.mean);
        if (c->variance) set_column(&variance, j, x.variance);
    }
    for (int output = 0; output < MIX_OUTPUTS; output++) {
        int matrix = whole != width && (output == MIX_CURVATURE || output == MIX_FISHER);
        if (!outs[output]) continue;
        room.out = outs[output] + row * (matrix ? whole : width);
        if (matrix) mixture_matrix(m, room.out, rows, w, output);
        else if (output == MIX_GRAD) mixture_write(m, room, w * C(c->scale), w > C(0), MIX_GRAD);
        else if (output == MIX_PARAMS) mixture_write_any(m, room, C(1), first_lanes(LANES), output);
        else mixture_write_any(m, room, w, w > C(0), output);
    }
}

/* ---- the head ---- */
INLINE Mask bad_targets(const MixtureRows *m, V w)
{
    Mask wrong = first_lanes(0);
    for (size_t j = 0; m->y.in && j < m->outputs; j++) wrong = either(wrong, outside_reals(target_of(m, j), wrong));
    return both(wrong, w > C(0));
}
static int mixture_batch(MixtureRows *m, const ps_call *c, size_t row, size_t rows, Sum *sum, size_t *bad)
{
    V w = row_weights(c, row, rows);
    move_columns(&m->z, c->z, row, rows), move_columns(&m->y, c->y, row, rows);
    move_columns(&m->offset, c->offset, row, rows), m->out.rows = rows;
    Mask wrong = bad_targets(m, w);
    if (any_lane(wrong)) return *bad = row + (size_t)first_lane(wrong), PS_BAD_TARGET;
    read_columns(&m->z);
    for (size_t k = 0; k < m->components; k++) store(m->a + k * (size_t)LANES, column(&m->z, k));
    softmax_few(&m->prior, m->components, m->a, m->prior_e);
    if (c->y) {
        log_densities(m);
        V nll = mixture_value(m);
        nll = select(w > C(0), nll * w, C(0));
        *sum = add(*sum, nll);
        if (c->nll) store_part((real *)c->nll + row, nll, rows);
    }
    mixture_outputs(m, c, row, rows, w);
    return PS_OK;
}
static int gaussian_mixture_softmax_head(const ps_call *c, int want, double *sum, size_t *bad)
{
    V room[3 * FEW + 4 * COMPONENTS + PARTS * (sizeof(Kept) / sizeof(V))], *next = room;
    (void)want;
    size_t K = c->options->components, d = c->outputs, rows = c->rows, tile = c->width <= FEW ? c->width : 0;
    if (!K || K > COMPONENTS || c->width != K * (1 + 2 * d) || (c->y && c->target_kind != PS_REALS)) return PS_BAD_CALL;
    MixtureRows m;
    m.components = K, m.outputs = d, m.fixed = fixed_by(c->options);
    int keeps = c->y && K * d <= PARTS;
    m.kept = keeps ? (Kept *)next : NULL, next += keeps ? K * d * (sizeof(Kept) / sizeof(V)) : 0;
    m.a = (real *)next, m.l = (real *)(next + K), m.prior_e = (real *)(next + 2 * K), m.e = (real *)(next + 3 * K);
    next += 4 * K;                               /* one after the other: far apart they would fall on the same lines */
    m.y = m.offset = (Columns){.width = d};
    m.z = m.out = (Columns){.tile = tile ? (real *)next : NULL, .copy = (real *)(next + 2 * tile), .width = c->width};
    if (tile) m.out.tile = (real *)(next + tile);
    Sum s = no_sum();
    int status = PS_OK;
    for (size_t row = 0; row < rows && status == PS_OK; row += (size_t)LANES)
        status = mixture_batch(&m, c, row, rows - row < (size_t)LANES ? rows - row : (size_t)LANES, &s, bad);
    *sum += total_of(s);
    return status;
}

LIKELIHOOD(gaussian_mixture, 1, reals, half_log_2pi)
