/* pointwise.h: the loop for one, two or three logits per observation. It is written once and inlined into each family
 * with constant arguments. One output per row is the fast layout (logits of an observation side by side); several
 * outputs (blocks along the row) pass through tiles that stay in L1. */
#ifndef POINTWISE_H
#define POINTWISE_H

enum { TILE = 256 };

/* ---- memory: the logits of LANES observations, parameter by parameter ---- */
INLINE void load_logits(V *z, const real *p, int logits)
{
    if (logits == 1) z[0] = load(p);
    else if (logits == 2) { Pair pair = load2(p); z[0] = pair.a; z[1] = pair.b; }
    else for (int k = 0; k < logits; k++) {
        real column[LANES];
        for (int i = 0; i < LANES; i++) column[i] = p[i * logits + k];
        z[k] = load(column);
    }
}
INLINE void store_logits(real *p, const V *x, int logits)
{
    if (logits == 1) store(p, x[0]);
    else if (logits == 2) store2(p, x[0], x[1]);
    else for (int k = 0; k < logits; k++) for (int i = 0; i < LANES; i++) p[i * logits + k] = lane(x[k], i);
}

/* ---- one vector of observations ---- */
typedef struct {
    const real *z, *offset, *y, *weights;
    real *nll, *grad, *params, *mean, *variance, *curvature, *fisher;
} Rows;

INLINE Rows rows_of(const ps_call *c)
{
    return (Rows){c->z, c->offset, c->y, c->weights, c->nll, c->grad, c->params, c->mean, c->variance, c->curvature,
                  c->fisher};
}

INLINE Rows rows_at(Rows r, size_t i, int logits, int targets)
{
#define AT(p, step) ((p) ? (p) + (step) * i : (p))
    size_t n = (size_t)logits;
    return (Rows){AT(r.z, n), AT(r.offset, 1), AT(r.y, (size_t)targets), AT(r.weights, 1), AT(r.nll, 1), AT(r.grad, n),
                  AT(r.params, n), AT(r.mean, 1), AT(r.variance, 1), AT(r.curvature, n), AT(r.fisher, n)};
#undef AT
}

INLINE void weigh(V *x, int logits, V w, Mask live)             /* 0 * inf = 0: a row of weight 0 is not read */
{
    for (int k = 0; k < logits; k++) x[k] = select(live, x[k] * w, C(0));
}

/* What a row of the registry fixes; every member is a constant where the loops are inlined. */
typedef struct {
    Family *family;
    Support *outside;
    Domain *undefined;                           /* NULL: the link is defined everywhere */
    int kind, logits, targets;                   /* how the gradient is made; reals per observation in z, in y */
    int hot;                                     /* HOT: kernels of its own with and without value and weights */
} Spec;
enum { COLD = 0, HOT = 1 };
typedef struct { Mask y, z; } Wrong;             /* targets outside the support, logits outside the domain */

/* Reads, evaluates and writes the LANES observations from i on. bare: targets and gradient are there, nothing else
 * is, and a predicted scale has the default link. */
INLINE Wrong pointwise_step(const Spec k, int want, int bare, Rows r, size_t i, Fixed fixed, V scale, Sum *sum)
{
    size_t at = i * (size_t)k.logits;
    int weighted = !bare && r.weights, known = bare || r.y;
    V y[MAX_LOGITS] = {C(0), C(0)};
    if (known) load_logits(y, r.y + i * (size_t)k.targets, k.targets);
    Obs o = {.y = y[0], .y2 = k.targets == 2 && known ? y[1] : C(1) - y[0], .fixed = fixed, .want = want};
    o.count = k.targets == 2 && known ? o.y + o.y2 : C(1);
    load_logits(o.z, r.z + at, k.logits);
    if (!bare && r.offset) o.z[0] = o.z[0] + load(r.offset + i);
    Point p = with_gradient(k.family(o), o, k.kind);
    Mask live = first_lanes((size_t)LANES);
    if (weighted) {
        V w = load(r.weights + i);
        live = w > C(0);
        weigh(&p.nll, 1, w, live), weigh(p.grad, k.logits, w, live);
        weigh(p.curv, k.logits, w, live), weigh(p.fisher, k.logits, w, live);
    }
    if (want & VALUE) *sum = add(*sum, p.nll);
    if (want & VALUE && !bare && r.nll) store(r.nll + i, p.nll);
    for (int j = 0; j < k.logits; j++) p.grad[j] = p.grad[j] * scale;
    if (want & GRAD && (bare || r.grad)) store_logits(r.grad + at, p.grad, k.logits);
    if (want & MORE) {
        if (r.params) store_logits(r.params + at, k.logits == 1 ? &p.mean : p.param, k.logits);
        if (r.mean) store(r.mean + i, p.mean);
        if (r.variance) store(r.variance + i, p.variance);
        if (r.curvature) store_logits(r.curvature + at, p.curv, k.logits);
        if (r.fisher) store_logits(r.fisher + at, p.fisher, k.logits);
    }
    Wrong wrong = {first_lanes(0), first_lanes(0)};
    if (known) wrong.y = k.outside(y[0], fixed);
    if (known && k.targets == 2) wrong.y = either(wrong.y, k.outside(y[1], fixed));
    if (k.undefined) wrong.z = k.undefined(o.z[0]);
    if (weighted) wrong.y = both(wrong.y, live), wrong.z = both(wrong.z, live);
    return wrong;
}

INLINE int pointwise_loop(const Spec k, int want, int bare, Rows r, size_t count, const ps_call *c, double *sum,
                          size_t *bad)
{
    Fixed fixed = fixed_by(c->options);
    V scale = C(c->scale);
    Sum s = no_sum();
    if (bare) fixed.scale_link = PS_SOFTPLUS, fixed.floored = 0;          /* constants, which the loop is compiled for */
    for (size_t i = 0; i < count; i += (size_t)LANES) {
        Wrong wrong = pointwise_step(k, want, bare, r, i, fixed, scale, &s);
        Mask any = either(wrong.y, wrong.z);
        if (!any_lane(any)) continue;
        *bad = i + (size_t)first_lane(any);
        return first_lane(wrong.y) == first_lane(any) ? PS_BAD_TARGET : PS_BAD_LOGIT;
    }
    *sum += total_of(s);
    return PS_OK;
}

/* The last, incomplete vector goes through copies whose missing observations repeat the last one; their weight is 0,
 * which keeps them out of sums and checks. */
typedef struct { real z[MAX_LOGITS * LANES], offset[LANES], y[2 * LANES], weights[LANES], nll[LANES], mean[LANES],
                 variance[LANES], grad[MAX_LOGITS * LANES], params[MAX_LOGITS * LANES], curvature[MAX_LOGITS * LANES],
                 fisher[MAX_LOGITS * LANES]; } Tail;

/* The part of a Tile or Tail that stands for an array which was given. */
#define STAND_IN(t, r) {(t)->z, (r).offset ? (t)->offset : NULL, (r).y ? (t)->y : NULL, (t)->weights, \
    (r).nll ? (t)->nll : NULL, (r).grad ? (t)->grad : NULL, (r).params ? (t)->params : NULL, \
    (r).mean ? (t)->mean : NULL, (r).variance ? (t)->variance : NULL, (r).curvature ? (t)->curvature : NULL, \
    (r).fisher ? (t)->fisher : NULL}

APART Rows tail_in(Tail *t, Rows r, size_t count, size_t logits, size_t targets)
{
    for (size_t i = 0; i < (size_t)LANES; i++) {
        size_t from = i < count ? i : count - 1;
        for (size_t k = 0; k < logits; k++) t->z[i * logits + k] = r.z[from * logits + k];
        if (r.offset) t->offset[i] = r.offset[from];
        for (size_t k = 0; r.y && k < targets; k++) t->y[i * targets + k] = r.y[from * targets + k];
        t->weights[i] = i >= count ? 0 : r.weights ? r.weights[i] : 1;
    }
    return (Rows)STAND_IN(t, r);
}
APART void tail_out(Rows r, const Tail *t, size_t count, size_t logits)
{
#define OUT(member, per) if (r.member) memcpy(r.member, t->member, count * (per) * sizeof(real))
    OUT(nll, 1); OUT(mean, 1); OUT(variance, 1);
    OUT(grad, logits); OUT(params, logits); OUT(curvature, logits); OUT(fisher, logits);
#undef OUT
}

/* ---- all rows, one output each ---- */
typedef int RowsKernel(Rows r, size_t count, const ps_call *c, int want, double *sum, size_t *bad);

/* What a kernel does not want disappears: {gradient, value and gradient} of a HOT row. Everything else (weights, further
 * quantities, other rows, the last incomplete vector) goes through one general loop: the same formulas, the same bits. */
INLINE int pointwise_rows(const Spec k, Rows r, size_t count, const ps_call *c, int want, double *sum, size_t *bad)
{
    Tail t;
    size_t whole = count - count % (size_t)LANES, left = count - whole, first = 0, n = (size_t)k.logits;
    Rows last = rows_at(r, whole, k.logits, k.targets);
    int usual = c->options->scale_link == PS_SOFTPLUS && !(c->options->min_scale > 0), status = PS_OK;
    int bare = k.hot && usual && !(want & MORE) && r.y && r.grad && !r.weights && !r.offset && !r.nll;
    if (bare && want == GRAD) status = pointwise_loop(k, GRAD, 1, r, whole, c, sum, bad);
    else if (bare) status = pointwise_loop(k, VALUE | GRAD, 1, r, whole, c, sum, bad);
    for (int part = bare; part < 2 && status == PS_OK; part++) {
        if (part == 1 && !left) break;
        if (part == 1) r = tail_in(&t, last, left, n, (size_t)k.targets), first = whole, whole = (size_t)LANES;
        status = pointwise_loop(k, want, 0, r, whole, c, sum, bad);
        if (part == 1) *bad += first, tail_out(last, &t, left, n);
    }
    return status;
}

/* ---- several outputs per row: tiles of at most TILE observations, laid out as rows with one output ---- */
typedef struct { real z[MAX_LOGITS * TILE], offset[TILE], y[2 * TILE], weights[TILE], nll[TILE], mean[TILE], variance[TILE],
                 grad[MAX_LOGITS * TILE], params[MAX_LOGITS * TILE], curvature[MAX_LOGITS * TILE],
                 fisher[MAX_LOGITS * TILE]; } Tile;
typedef struct { size_t row, rows, column, columns, outputs; } Window;

/* Between blocks along a row, (rows, logits * outputs), and logits side by side, (observations, logits). */
APART void gather(real *tile, const real *p, Window w, size_t logits)
{
    if (!p) return;
    for (size_t i = 0; i < w.rows; i++) for (size_t j = 0; j < w.columns; j++) for (size_t k = 0; k < logits; k++)
        tile[(i * w.columns + j) * logits + k] = p[((w.row + i) * logits + k) * w.outputs + w.column + j];
}
APART void scatter(real *p, const real *tile, Window w, size_t logits)
{
    if (!p) return;
    for (size_t i = 0; i < w.rows; i++) for (size_t j = 0; j < w.columns; j++) for (size_t k = 0; k < logits; k++)
        p[((w.row + i) * logits + k) * w.outputs + w.column + j] = tile[(i * w.columns + j) * logits + k];
}

APART int pointwise_tile(RowsKernel *kernel, size_t logits, size_t targets, Window w, const ps_call *c, int want,
                         double *sum, size_t *bad)
{
    Tile t;
    Rows all = rows_of(c);
    gather(t.z, all.z, w, logits), gather(t.offset, all.offset, w, 1), gather(t.y, all.y, w, targets);
    for (size_t e = 0; all.weights && e < w.rows * w.columns; e++) t.weights[e] = all.weights[w.row + e / w.columns];
    Rows r = STAND_IN(&t, all);
    if (!all.weights) r.weights = NULL;
    int status = kernel(r, w.rows * w.columns, c, want, sum, bad);
    if (status != PS_OK) return *bad = w.row + *bad / w.columns, status;
    for (size_t e = 0; all.nll && e < w.rows * w.columns; e++)
        all.nll[w.row + e / w.columns] = (w.column || e % w.columns ? all.nll[w.row + e / w.columns] : 0) + t.nll[e];
    scatter(all.grad, t.grad, w, logits), scatter(all.params, t.params, w, logits), scatter(all.mean, t.mean, w, 1);
    scatter(all.variance, t.variance, w, 1), scatter(all.curvature, t.curvature, w, logits);
    scatter(all.fisher, t.fisher, w, logits);
    return PS_OK;
}

APART int pointwise_head(RowsKernel *kernel, size_t logits, size_t targets, const ps_call *c, int want, double *sum,
                         size_t *bad)
{
    size_t d = c->outputs, tall = d < TILE ? TILE / d : 1;
    if (c->width != d * logits || (c->y && c->target_kind != (targets == 2 ? PS_PAIRS : PS_REALS)))
        return PS_BAD_CALL;
    if (d == 1) return kernel(rows_of(c), c->rows, c, want, sum, bad);
    for (size_t row = 0; row < c->rows; row += tall) for (size_t column = 0; column < d; column += TILE) {
        Window w = {row, c->rows - row < tall ? c->rows - row : tall, column, d - column < TILE ? d - column : TILE, d};
        int status = pointwise_tile(kernel, logits, targets, w, c, want, sum, bad);
        if (status != PS_OK) return status;
    }
    return PS_OK;
}

/* ---- the terms in y alone: observations in row order, several outputs or not ---- */
INLINE size_t row_of(size_t observation, size_t outputs)
{
    return outputs == 1 ? observation : observation / outputs;
}
/* LANES observations from e on, the last of `count` repeated; weight 0 where there are none. */
INLINE V base_targets(const real *y, size_t e, size_t count, size_t d, size_t targets, size_t t)
{
    real part[LANES];
    if (d == 1 && targets == 1 && e + (size_t)LANES <= count) return load(y + e);
    for (size_t i = 0; i < (size_t)LANES; i++) {
        size_t from = e + i < count ? e + i : count - 1, row = row_of(from, d);
        part[i] = y[(row * targets + t) * d + (from - row * d)];
    }
    return load(part);
}
INLINE V base_weights(const real *weights, size_t e, size_t count, size_t d)
{
    real part[LANES];
    for (size_t i = 0; i < (size_t)LANES; i++)
        part[i] = e + i >= count ? 0 : weights ? weights[row_of(e + i, d)] : 1;
    return load(part);
}

INLINE int base_loop(Base *base, Support *outside, size_t targets, const ps_call *c, double *sum, size_t *bad)
{
    size_t d = c->outputs, count = c->rows * d;
    real part[LANES], *nll = c->nll;
    Sum s = no_sum();
    if (!base) return PS_OK;
    Obs o = {.fixed = fixed_by(c->options)};
    for (size_t e = 0; e < count; e += (size_t)LANES) {
        V w = base_weights(c->weights, e, count, d);
        Mask live = w > C(0);
        o.y = base_targets(c->y, e, count, d, targets, 0);
        o.y2 = targets == 2 ? base_targets(c->y, e, count, d, targets, 1) : C(1) - o.y;
        Mask wrong = both(live, targets == 2 ? either(outside(o.y, o.fixed), outside(o.y2, o.fixed))
                                             : outside(o.y, o.fixed));
        if (any_lane(wrong)) return *bad = row_of(e + (size_t)first_lane(wrong), d), PS_BAD_TARGET;
        V b = select(live, w * base(o), C(0));
        s = add(s, b), store(part, b);
        for (size_t i = 0; nll && i < (size_t)LANES && e + i < count; i++) nll[row_of(e + i, d)] += part[i];
    }
    *sum += total_of(s);
    return PS_OK;
}

/* ---- what a family file says ---- */

/* Once per likelihood: reals in a target, support, terms in y alone. */
#define LIKELIHOOD(likelihood, targets, outside, base) \
    static Support *const likelihood##_support = outside; \
    enum { likelihood##_targets = targets }; \
    static int likelihood##_terms(const ps_call *c, double *sum, size_t *bad) \
    { return base_loop(base, outside, targets, c, sum, bad); }
/* Once per link: the kernels of a formula in terms of the logits. kind says how its gradient is made. */
#define HEAD(likelihood, link, formula, logits, kind, undefined, hot) \
    static int likelihood##_##link##_rows(Rows r, size_t count, const ps_call *c, int want, double *sum, size_t *bad) \
    { return pointwise_rows((Spec){formula, likelihood##_support, undefined, kind, logits, likelihood##_targets, hot}, \
                            r, count, c, want, sum, bad); } \
    static int likelihood##_##link##_head(const ps_call *c, int want, double *sum, size_t *bad) \
    { return pointwise_head(likelihood##_##link##_rows, logits, likelihood##_targets, c, want, sum, bad); }
/* The same from a likelihood in terms of its mean, likelihood_of, and a link. */
#define LINKED(likelihood, link, kind, undefined, hot) \
    INLINE Point likelihood##_##link(Obs o) { return likelihood##_of(o, link##_link(o.z[0])); } \
    HEAD(likelihood, link, likelihood##_##link, 1, kind, undefined, hot)
#endif
