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

INLINE Rows rows_at(Rows r, size_t i, int logits)
{
#define AT(p, step) ((p) ? (p) + (step) * i : (p))
    size_t n = (size_t)logits;
    return (Rows){AT(r.z, n), AT(r.offset, 1), AT(r.y, 1), AT(r.weights, 1), AT(r.nll, 1), AT(r.grad, n),
                  AT(r.params, n), AT(r.mean, 1), AT(r.variance, 1), AT(r.curvature, n), AT(r.fisher, n)};
#undef AT
}

INLINE void weigh(V *x, int logits, V w, Mask live)             /* 0 * inf = 0: a row of weight 0 is not read */
{
    for (int k = 0; k < logits; k++) x[k] = select(live, x[k] * w, C(0));
}

/* Reads, evaluates and writes the LANES observations at r; returns which targets lie outside the support. */
INLINE Mask pointwise_step(Family *family, Support *outside, int link, int logits, int want, int weighted, Rows r,
                           Fixed fixed, V scale, Sum *sum)
{
    Obs o = {.y = r.y ? load(r.y) : C(0), .fixed = fixed, .want = want};
    load_logits(o.z, r.z, logits);
    if (r.offset) o.z[0] = o.z[0] + load(r.offset);
    Point p = family(o);
    if (link != OWN) p.grad[0] = residual(p, o, link) * fixed.per_dispersion;
    V w = weighted ? load(r.weights) : C(1);
    Mask live = w > C(0);
    if (weighted) {
        weigh(&p.nll, 1, w, live), weigh(p.grad, logits, w, live);
        weigh(p.curv, logits, w, live), weigh(p.fisher, logits, w, live);
    }
    if (want & VALUE) *sum = add(*sum, p.nll);
    if (want & VALUE && r.nll) store(r.nll, p.nll);
    for (int k = 0; k < logits; k++) p.grad[k] = p.grad[k] * scale;
    if (want & GRAD && r.grad) store_logits(r.grad, p.grad, logits);
    if (want & MORE) {
        if (r.params) store_logits(r.params, logits == 1 ? &p.mean : p.param, logits);
        if (r.mean) store(r.mean, p.mean);
        if (r.variance) store(r.variance, p.variance);
        if (r.curvature) store_logits(r.curvature, p.curv, logits);
        if (r.fisher) store_logits(r.fisher, p.fisher, logits);
    }
    if (!r.y) return first_lanes(0);
    return weighted ? both(live, outside(o.y, fixed)) : outside(o.y, fixed);
}

INLINE int pointwise_loop(Family *family, Support *outside, int link, int logits, int want, int weighted, Rows r,
                          size_t count, const ps_call *c, Sum *sum, size_t *bad)
{
    Fixed fixed = fixed_by(c->options);
    V scale = C(c->scale);
    for (size_t i = 0; i < count; i += (size_t)LANES) {
        Mask wrong = pointwise_step(family, outside, link, logits, want, weighted, rows_at(r, i, logits), fixed, scale, sum);
        if (any_lane(wrong)) return *bad = i + (size_t)first_lane(wrong), PS_BAD_TARGET;
    }
    return PS_OK;
}

/* The last, incomplete vector goes through copies whose missing observations repeat the last one; their weight is 0,
 * which keeps them out of sums and checks. */
typedef struct { real z[MAX_LOGITS * LANES], offset[LANES], y[LANES], weights[LANES], nll[LANES], mean[LANES],
                 variance[LANES], grad[MAX_LOGITS * LANES], params[MAX_LOGITS * LANES], curvature[MAX_LOGITS * LANES],
                 fisher[MAX_LOGITS * LANES]; } Tail;

/* The part of a Tile or Tail that stands for an array which was given. */
#define STAND_IN(t, r) {(t)->z, (r).offset ? (t)->offset : NULL, (r).y ? (t)->y : NULL, (t)->weights, \
    (r).nll ? (t)->nll : NULL, (r).grad ? (t)->grad : NULL, (r).params ? (t)->params : NULL, \
    (r).mean ? (t)->mean : NULL, (r).variance ? (t)->variance : NULL, (r).curvature ? (t)->curvature : NULL, \
    (r).fisher ? (t)->fisher : NULL}

APART Rows tail_in(Tail *t, Rows r, size_t count, size_t logits)
{
    for (size_t i = 0; i < (size_t)LANES; i++) {
        size_t from = i < count ? i : count - 1;
        for (size_t k = 0; k < logits; k++) t->z[i * logits + k] = r.z[from * logits + k];
        if (r.offset) t->offset[i] = r.offset[from];
        if (r.y) t->y[i] = r.y[from];
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

/* What a kernel does not want disappears: {gradient, value and gradient} with and without weights. Everything else, and
 * the last incomplete vector of all, goes through one general loop: the same formulas, so the same bits. */
INLINE int pointwise_rows(Family *family, Support *outside, int link, int logits, Rows r, size_t count,
                          const ps_call *c, int want, double *sum, size_t *bad)
{
#define LOOP(want_, weighted) pointwise_loop(family, outside, link, logits, want_, weighted, r, whole, c, &s, bad)
    Sum s = no_sum();
    Tail t;
    size_t whole = count - count % (size_t)LANES, left = count - whole, first = whole;
    Rows last = rows_at(r, whole, logits);
    int general = (want & MORE) != 0, status = PS_OK;
    if (want == GRAD) status = r.weights ? LOOP(GRAD, 1) : LOOP(GRAD, 0);
    else if (!general) status = r.weights ? LOOP(VALUE | GRAD, 1) : LOOP(VALUE | GRAD, 0);
    for (int part = general ? 0 : 1; part < 2 && status == PS_OK; part++) {
        if (part == 1 && !left) break;
        if (part == 1) r = tail_in(&t, last, left, (size_t)logits), whole = (size_t)LANES;
        status = LOOP(want, r.weights != NULL);
        if (part == 1) *bad += first, tail_out(last, &t, left, (size_t)logits);
    }
    *sum += total_of(s);
    return status;
#undef LOOP
}

/* ---- several outputs per row: tiles of at most TILE observations, laid out as rows with one output ---- */
typedef struct { real z[MAX_LOGITS * TILE], offset[TILE], y[TILE], weights[TILE], nll[TILE], mean[TILE], variance[TILE],
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

static int pointwise_tile(RowsKernel *kernel, Window w, size_t n, const ps_call *c, int want, double *sum, size_t *bad)
{
    Tile t;
    Rows all = rows_of(c);
    gather(t.z, all.z, w, n), gather(t.offset, all.offset, w, 1), gather(t.y, all.y, w, 1);
    for (size_t e = 0; all.weights && e < w.rows * w.columns; e++) t.weights[e] = all.weights[w.row + e / w.columns];
    Rows r = STAND_IN(&t, all);
    if (!all.weights) r.weights = NULL;
    int status = kernel(r, w.rows * w.columns, c, want, sum, bad);
    if (status != PS_OK) return *bad = w.row + *bad / w.columns, status;
    for (size_t e = 0; all.nll && e < w.rows * w.columns; e++)
        all.nll[w.row + e / w.columns] = (w.column || e % w.columns ? all.nll[w.row + e / w.columns] : 0) + t.nll[e];
    scatter(all.grad, t.grad, w, n), scatter(all.params, t.params, w, n), scatter(all.mean, t.mean, w, 1);
    scatter(all.variance, t.variance, w, 1), scatter(all.curvature, t.curvature, w, n);
    scatter(all.fisher, t.fisher, w, n);
    return PS_OK;
}

static int pointwise_head(RowsKernel *kernel, int logits, const ps_call *c, int want, double *sum, size_t *bad)
{
    size_t d = c->outputs, tall = d < TILE ? TILE / d : 1;
    if (d == 1) return kernel(rows_of(c), c->rows, c, want, sum, bad);
    for (size_t row = 0; row < c->rows; row += tall) for (size_t column = 0; column < d; column += TILE) {
        Window w = {row, c->rows - row < tall ? c->rows - row : tall, column, d - column < TILE ? d - column : TILE, d};
        int status = pointwise_tile(kernel, w, (size_t)logits, c, want, sum, bad);
        if (status != PS_OK) return status;
    }
    return PS_OK;
}

/* ---- the terms in y alone ---- */
INLINE int base_loop(Base *base, Support *outside, const ps_call *c, double *sum, size_t *bad)
{
    Fixed fixed = fixed_by(c->options);
    const real *y = c->y, *weights = c->weights;
    real *nll = c->nll, part[LANES];
    size_t d = c->outputs, count = c->rows * d;
    if (!base) return PS_OK;
    for (size_t i = 0; i < count; i += (size_t)LANES) {
        size_t n = count - i < (size_t)LANES ? count - i : (size_t)LANES;
        V t = load_part(y + i, n);
        Mask wrong = outside(t, fixed);
        store(part, base(t, fixed));
        for (size_t e = 0; e < n; e++) {
            size_t row = (i + e) / d;
            real w = weights ? weights[row] : 1;
            if (!(w > 0)) continue;
            if (any_lane(both(wrong, both(first_lanes(e + 1), negate(first_lanes(e))))))
                return *bad = row, PS_BAD_TARGET;
            *sum += (double)(w * part[e]);
            if (nll) nll[row] += w * part[e];
        }
    }
    return PS_OK;
}
#endif
