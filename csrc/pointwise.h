/* pointwise.h: the loops for one, two or three logits per observation. One output per row is the fast
 * layout (logits of an observation side by side); several outputs (blocks along the row) pass through tiles in L1. */
#ifndef POINTWISE_H
#define POINTWISE_H

enum { TILE = 256, SPAN = 960 };                /* SPAN: rows begun, and odds multiplied, together: 2^SPAN is finite */

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

INLINE void stream_logits(real *p, const V *x, int logits)      /* where p is aligned; one or two */
{
    if (logits == 1) stream(p, x[0]);
    else stream2(p, x[0], x[1]);
}

/* Where their number is known only when it runs: all but one go through one copy. */
APART void load_several(V *z, const real *p, int logits) { load_logits(z, p, logits); }
APART void store_several(real *p, const V *x, int logits) { store_logits(p, x, logits); }
INLINE void load_any(V *z, const real *p, int logits)
{
    if (logits == 1) z[0] = load(p);
    else load_several(z, p, logits);
}
INLINE void store_any(real *p, const V *x, int logits)
{
    if (logits == 1) store(p, x[0]);
    else store_several(p, x, logits);
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

INLINE Rows rows_at(Rows r, size_t i, size_t logits, size_t second, size_t targets)
{
#define AT(p, step) ((p) ? (p) + (step) * i : (p))
    return (Rows){AT(r.z, logits), AT(r.offset, 1), AT(r.y, targets), AT(r.weights, 1), AT(r.nll, 1), AT(r.grad, logits),
                  AT(r.params, logits), AT(r.mean, 1), AT(r.variance, 1), AT(r.curvature, second), AT(r.fisher, second)};
#undef AT
}

/* What a row of the registry fixes: a likelihood and a link, each one function for LANES observations, so that every pair
 * costs a line. A formula in terms of the logits has no link. One general loop calls them for whatever is asked. A HOT
 * row has loops of its own besides, into which the same formulas are inlined: for the gradient, for value and gradient, and
 * for these with weights, offset, moments and information. They serve rows that need no special case, and leave a call with
 * any other to the general loop. The bits are the same either way. */
typedef void Likelihood(const Obs *o, const Mean *m, int kind, Point *p);
typedef void Gate(const Obs *o, const Mean *m, int inner, Point *p);    /* the first logits are those of the family inside */
typedef Mask Training(const V *y, const Mean *m, const Obs *o, int count, int kind, V *nll, V *grad);
typedef int BareKernel(const Rows *r, size_t count, const ps_call *c, int want, double *sum);
typedef struct {
    Likelihood *likelihood;
    Link *link;                                  /* NULL: the likelihood reads the logits */
    BareKernel *bare;                            /* of a HOT row, else NULL */
    Training *training;                          /* of a COLD row with one logit and one target, else NULL */
    Support *outside;
    Domain *undefined;                           /* NULL: the link is defined everywhere */
    int kind, logits, targets;                   /* how the gradient is made; reals per observation in z, in y */
    Gate *gate;                                  /* of ZeroInflated and Hurdle: makes p that of the wrapped family */
} Spec;
typedef struct { Mask y, z; } Wrong;             /* targets outside the support, logits outside the domain */

INLINE Wrong wrong_of(Support *outside, Domain *undefined, int targets, int known, const Obs *o)
{
    Wrong wrong = {first_lanes(0), first_lanes(0)};
    if (known) wrong.y = outside(o->y, o->fixed.integer);
    if (known && targets == 2) wrong.y = either(wrong.y, outside(o->y2, o->fixed.integer));
    if (undefined) wrong.z = undefined(o->z[0]);
    return wrong;
}
APART int fault_of(Mask y, Mask z, size_t i, size_t *bad)
{
    int first = first_lane(either(y, z));
    *bad = i + (size_t)first;
    return first_lane(y) == first ? PS_BAD_TARGET : PS_BAD_LOGIT;
}
INLINE int status_of(Wrong wrong, size_t i, size_t *bad)
{
    return any_lane(either(wrong.y, wrong.z)) ? fault_of(wrong.y, wrong.z, i, bad) : PS_OK;
}

/* What multiplies a gradient that is made of the residual: the dispersion too, which other gradients contain. */
INLINE V gradient_scale(const ps_call *c, const Fixed *f, int kind)
{
    return kind == OWN ? C(c->scale) : f->per_dispersion * C(c->scale);
}

INLINE void weigh(V *x, int count, V w, Mask live)              /* 0 * inf = 0: a row of weight 0 is not read */
{
    for (int k = 0; k < count; k++) x[k] = select(live, x[k] * w, C(0));
}
/* All but the moments, which have no weights. */
INLINE void weigh_point(Point *p, V w, Mask live, int want, int logits)
{
    int pairs = logits * (logits - 1) / 2;
    weigh(&p->nll, 1, w, live), weigh(p->grad, logits, w, live);
    if (want & CURVATURE) weigh(p->curv, logits, w, live), weigh(p->curv_pair, pairs, w, live);
    if (want & FISHER) weigh(p->fisher, logits, w, live), weigh(p->fisher_pair, pairs, w, live);
}
/* Beside the gradient and the sum. */
INLINE void store_more(const Rows *r, const Point *p, size_t i, int logits)
{
    if (r->nll) store(r->nll + i, p->nll);
    if (r->mean) store(r->mean + i, p->mean);
    if (r->variance) store(r->variance + i, p->variance);
    if (r->fisher) store_logits(r->fisher + i * (size_t)logits, p->fisher, logits);
}

/* Targets and gradient are there, no more than offset, weights, nll, moments and the diagonal of the information besides,
 * these only if `more`; and a predicted scale has the default link. A target that may be outside the support, or a logit
 * that is not ordinary, is left to general_loop, with all other rows. A family that begins with an exponential is computed
 * in two steps, SPAN rows each: its chain of operations, in one, is longer than the machine looks ahead. A gradient past the
 * caches is for formulas quick enough to wait for memory; where two steps are taken, each fetches what the other will read. */
INLINE int bare_loop(Family *family, Begin *begin, int kind, int logits, Doubtful *doubtful, real ordinary, int want,
                     int more, const Rows *r, size_t count, const ps_call *c, double *sum)
{
    Obs o = {.fixed = fixed_by(c->options), .want = want, .count = C(1), .bare = 1};
    V scale = gradient_scale(c, &o.fixed, kind);
    Doubt doubt = {isplat(0), isplat(0)};
    Sum s = no_sum(), odds = no_sum();
    double logs = 0;
    const real *z = r->z, *y = r->y;
    real begun[SPAN], *grad = r->grad;
    int quick = !begin || (logits == 1 && !(kind & FACTORED));
    int streams = quick && c->flags & PS_STREAM && (uintptr_t)grad % ISA_BYTES == 0;
    int factored = kind & FACTORED && !(more && r->weights);
    size_t span = begin || kind & FACTORED ? SPAN : count;
    for (size_t from = 0; from < count; from += span) {
        size_t end = count - from < span ? count : from + span;
        for (size_t i = from; begin && i < end; i += (size_t)LANES) {
            load_logits(o.z, z + i * (size_t)logits, logits);
            if (more && r->offset) o.z[0] = o.z[0] + load(r->offset + i);
            store(begun + (i - from), begin(o.z));
            __builtin_prefetch(y + i);
        }
        for (size_t i = from; i < end; i += (size_t)LANES) {
            real *to = grad + i * (size_t)logits;
            if (begin) o.begun = load(begun + (i - from));
            if (begin && (!quick || streams)) __builtin_prefetch(z + (i + SPAN) * (size_t)logits);
            o.y = load(y + i), o.y2 = C(1) - o.y;
            load_logits(o.z, z + i * (size_t)logits, logits);
            if (more && r->offset) o.z[0] = o.z[0] + load(r->offset + i);
            Doubt d = doubtful(o.y, o.fixed.integer);
            if (ordinary <= REAL_MAX) d.sign = d.sign | outsized(o.z[0], ordinary);
            if (logits > 1) d.sign = d.sign | outsized(o.z[1], ORDINARY_SCALE);
            Point p = family(o);
            give_gradient(&p, &o, kind);
            if (more && r->weights) {
                V w = load(r->weights + i);
                Mask live = w > C(0);
                weigh_point(&p, w, live, want, logits);
                d = (Doubt){iselect(live, d.sign, isplat(0)), iselect(live, d.any, isplat(0))};
            }
            if (want & VALUE && factored) s = add_finite(s, p.plain), odds = compound_finite(odds, p.odds);
            else if (want & VALUE) s = add(s, p.nll);
            for (int j = 0; j < logits; j++) p.grad[j] = p.grad[j] * scale;
            if (streams) stream_logits(to, p.grad, logits);
            else store_logits(to, p.grad, logits);
            if (more) store_more(r, &p, i, logits);
            doubt = doubts(doubt, d);
        }
        if (want & VALUE && factored) logs += log1p(compound_of(odds)), odds = no_sum();
    }
    if (streams) stream_end();
    if (any_lane(doubted(doubt))) return PS_BAD_TARGET;
    *sum += factored ? finite_total(s) + logs : total_of(s);
    return PS_OK;
}

/* What is wanted of a family's answer is handed back; the rest is dead code, or skipped. */
INLINE void answer(const Point *p, int want, int logits, Point *out)
{
    enum { MOST = MAX_LOGITS };                  /* loops of constant length: the Point dissolves into what is read */
    out->nll = p->nll, out->plain = p->plain, out->odds = p->odds;
    UNROLLED for (int k = 0; k < MOST; k++) if (k < logits) out->grad[k] = p->grad[k];
    if (want & MEAN) {
        out->mean = p->mean, out->variance = p->variance;
        UNROLLED for (int k = 0; k < MOST; k++) if (k < logits) out->param[k] = logits == 1 ? p->mean : p->param[k];
    }
    if (want & CURVATURE) {
        UNROLLED for (int k = 0; k < MOST; k++) if (k < logits) out->curv[k] = p->curv[k];
        UNROLLED for (int k = 0; k < PAIRS; k++) if (k < logits * (logits - 1) / 2) out->curv_pair[k] = p->curv_pair[k];
    }
    if (want & FISHER) {
        UNROLLED for (int k = 0; k < MOST; k++) if (k < logits) out->fisher[k] = p->fisher[k];
        UNROLLED for (int k = 0; k < PAIRS; k++) if (k < logits * (logits - 1) / 2) out->fisher_pair[k] = p->fisher_pair[k];
    }
    if (!(want & NOTHING)) return;
    const None *n = &p->none;
    None *to = &out->none;
    to->nll = n->nll, to->log_nll = n->log_nll, to->up_cross = n->up_cross;
    to->per_nll = n->per_nll, to->excess = n->excess, to->log_excess = n->log_excess;
    UNROLLED for (int k = 0; k < 2; k++)
        to->up[k] = n->up[k], to->up_slope[k] = n->up_slope[k], to->spare[k] = n->spare[k];
}

/* The diagonal, or with PS_BLOCK the matrix row by row. */
SELDOM void store_second(real *p, const V *diagonal, const V *pair, int logits, int block)
{
    if (!block) { store_any(p, diagonal, logits); return; }
    for (int i = 0; i < LANES; i++) for (int j = 0; j < logits; j++) for (int k = 0; k < logits; k++)
        *p++ = lane(j == k ? diagonal[j] : pair[j + k - 1], i);
}

/* What training asks of a COLD pair with one logit and one target: link and likelihood are called for AT_ONCE vectors.
 * Which target or logit is wrong is left to general_loop. */
typedef Point Linked(Obs o, Mean m);
INLINE Mask training_loop(Linked *of, Doubtful *doubtful, const V *y, const Mean *m, const Obs *given, int count, int kind,
                          V *nll, V *grad)
{
    Doubt doubt = {isplat(0), isplat(0)};
    for (int i = 0; i < count; i++) {
        Obs o = {.fixed = given->fixed, .want = GRAD | VALUE, .count = C(1), .y = y[i], .y2 = C(1) - y[i]};
        Point p = of(o, m[i]);
        give_gradient(&p, &o, kind);
        nll[i] = p.nll, grad[i] = p.grad[0];
        doubt = doubts(doubt, doubtful(o.y, o.fixed.integer));
    }
    return doubted(doubt);
}
typedef struct { V z[AT_ONCE], y[AT_ONCE], nll[AT_ONCE], grad[AT_ONCE]; Mean m[AT_ONCE]; } Several;
INLINE int answer_several(const Spec *k, int want, const Obs *o, int count, Several *s)
{
    int few = k->kind & RELATIVE || k->kind == (PROPORTION | CHAINED);
    k->link(s->z, count, few ? LOGARITHMS : want, s->m);
    Mask wrong = k->training(s->y, s->m, o, count, k->kind, s->nll, s->grad);
    for (int v = 0; k->undefined && v < count; v++) wrong = either(wrong, k->undefined(s->z[v]));
    return any_lane(wrong) ? PS_BAD_TARGET : PS_OK;
}
APART int plain_loop(const Spec *k, int want, const Rows *r, size_t count, const ps_call *c, double *sum)
{
    Several s = {.m = {{.mean = C(0)}}};         /* a link sets what it has */
    Obs o = {.fixed = fixed_by(c->options)};
    V scale = gradient_scale(c, &o.fixed, k->kind);
    Sum whole = no_sum(), part = no_sum();
    size_t i = 0, step = (size_t)LANES, left = count % step;
    for (int n; i + step <= count; ) {
        for (n = 0; n < AT_ONCE && i + (size_t)(n + 1) * step <= count; n++)
            s.z[n] = load(r->z + i + (size_t)n * step), s.y[n] = load(r->y + i + (size_t)n * step);
        if (answer_several(k, want, &o, n, &s) != PS_OK) return PS_BAD_TARGET;
        for (int v = 0; v < n; v++, i += step) whole = add(whole, s.nll[v]), store(r->grad + i, s.grad[v] * scale);
    }
    if (left) {
        s.z[0] = load_first(r->z + i, left), s.y[0] = load_first(r->y + i, left);
        if (answer_several(k, want, &o, 1, &s) != PS_OK) return PS_BAD_TARGET;
        part = add(part, select(first_lanes(left), s.nll[0], C(0))), store_first(r->grad + i, s.grad[0] * scale, left);
    }
    *sum += total_of(whole), *sum += total_of(part);
    return PS_OK;
}

/* Anything asked of any family. `marks`: weights are 1 or, where there is no row, 0. */
APART int general_loop(const Spec *k, int want, Rows r, int marks, size_t count, const ps_call *c, double *sum, size_t *bad)
{
    int block = c->flags & PS_BLOCK, known = r.y != NULL, logits = k->logits;
    size_t n = (size_t)logits, second = block ? n * n : n;
    Obs o = {.fixed = fixed_by(c->options), .want = want | (k->gate ? NOTHING : 0), .count = C(1)};
    Mean m = {.mean = C(0)};                     /* a link sets what it has */
    Point p;
    Sum s = no_sum(), odds = no_sum();
    double logs = 0;
    int factored = k->kind & FACTORED && want & VALUE && (marks || !r.weights);
    V y[MAX_LOGITS] = {C(0), C(0)}, scale = gradient_scale(c, &o.fixed, k->kind);
    double smoothing = c->options->smoothing;                   /* of a proportion: (1 - e) y + e / 2 */
    V keep = C(1 - smoothing), spread = C(0.5 * smoothing);
    int smooth = smoothing > 0 && known;
    for (size_t i = 0; i < count; i += (size_t)LANES) {
        if (known) load_any(y, r.y + i * (size_t)k->targets, k->targets);
        o.y = y[0], o.y2 = k->targets == 2 ? y[1] : C(1) - y[0];
        if (k->targets == 2 && known) o.count = o.y + o.y2;
        load_any(o.z, r.z + i * n, logits);
        if (r.offset) o.z[0] = o.z[0] + load(r.offset + i);
        if (k->link) k->link(o.z, 1, o.want, &m);
        Wrong wrong = wrong_of(k->outside, k->undefined, k->targets, known, &o);
        if (smooth) o.y = fma_(keep, o.y, spread), o.y2 = fma_(keep, o.y2, spread);
        k->likelihood(&o, &m, k->kind, &p);
        if (k->gate) k->gate(&o, &m, logits - 1, &p);
        if (r.weights) {
            V w = load(r.weights + i);
            Mask live = w > C(0);
            wrong.y = both(wrong.y, live), wrong.z = both(wrong.z, live);
            weigh_point(&p, w, live, want, logits);
            weigh(&p.plain, 1, w, live), weigh(&p.odds, 1, w, live);
        }
        if (factored) {                          /* in the order of bare_loop */
            s = add(s, p.plain), odds = compound(odds, p.odds);
            if ((i + (size_t)LANES) % SPAN == 0) logs += log1p(compound_of(odds)), odds = no_sum();
        } else if (want & VALUE) s = add(s, p.nll);
        if (r.nll) store(r.nll + i, p.nll);
        for (int j = 0; j < logits; j++) p.grad[j] = p.grad[j] * scale;
        if (r.grad) store_any(r.grad + i * n, p.grad, logits);
        if (r.params) store_any(r.params + i * n, p.param, logits);
        if (r.mean) store(r.mean + i, p.mean);
        if (r.variance) store(r.variance + i, p.variance);
        if (r.curvature) store_second(r.curvature + i * second, p.curv, p.curv_pair, logits, block);
        if (r.fisher) store_second(r.fisher + i * second, p.fisher, p.fisher_pair, logits, block);
        int status = status_of(wrong, i, bad);
        if (status != PS_OK) return status;
    }
    *sum += factored ? total_of(s) + (logs + log1p(compound_of(odds))) : total_of(s);
    return PS_OK;
}

/* The last, incomplete vector goes through copies whose missing observations repeat the last one; their weight is 0,
 * which keeps them out of sums and checks. */
enum { SECOND = MAX_LOGITS * MAX_LOGITS };
typedef struct { real z[MAX_LOGITS * LANES], offset[LANES], y[2 * LANES], weights[LANES], nll[LANES], mean[LANES],
                 variance[LANES], grad[MAX_LOGITS * LANES], params[MAX_LOGITS * LANES], curvature[SECOND * LANES],
                 fisher[SECOND * LANES]; } Tail;

/* The part of a Tile or Tail that stands for an array which was given. */
#define STAND_IN(t, r) {(t)->z, (r).offset ? (t)->offset : NULL, (r).y ? (t)->y : NULL, (t)->weights, \
    (r).nll ? (t)->nll : NULL, (r).grad ? (t)->grad : NULL, (r).params ? (t)->params : NULL, \
    (r).mean ? (t)->mean : NULL, (r).variance ? (t)->variance : NULL, (r).curvature ? (t)->curvature : NULL, \
    (r).fisher ? (t)->fisher : NULL}

SELDOM Rows tail_in(Tail *t, Rows r, size_t count, size_t logits, size_t targets)
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
SELDOM void tail_out(Rows r, const Tail *t, size_t count, size_t logits, size_t second)
{
#define OUT(member, per) if (r.member) memcpy(r.member, t->member, count * (per) * sizeof(real))
    OUT(nll, 1); OUT(mean, 1); OUT(variance, 1);
    OUT(grad, logits); OUT(params, logits); OUT(curvature, second); OUT(fisher, second);
#undef OUT
}

/* ---- all rows, one output each ---- */
INLINE int has_more(const Rows *r) { return r->weights || r->offset || r->nll || r->mean || r->variance || r->fisher; }
APART int pointwise_rows(const Spec *k, Rows r, size_t count, const ps_call *c, int want, double *sum, size_t *bad)
{
    Tail t;
    size_t left = count % (size_t)LANES, whole = count - left, n = (size_t)k->logits, second = c->flags & PS_BLOCK ? n * n : n;
    const ps_options *f = c->options;
    int usual = f->scale_link == PS_SOFTPLUS && !(f->min_scale > 0 || f->smoothing > 0), status;
    int asks = r.y && r.grad, diagonal = !(r.fisher && c->flags & PS_BLOCK), more = has_more(&r);
    int bare = asks && usual && k->bare && diagonal && !r.params && !r.curvature;
    int plain = asks && !more && !(want & MORE) && k->training && !(f->smoothing > 0) && !k->gate;
    if (plain && plain_loop(k, want, &r, count, c, sum) == PS_OK) return PS_OK;
    status = bare ? k->bare(&r, whole, c, want, sum) : PS_BAD_TARGET;
    if (status != PS_OK) status = general_loop(k, want, r, 0, whole, c, sum, bad);
    if (status != PS_OK || !left) return status;
    r = rows_at(r, whole, n, second, (size_t)k->targets);
    Rows last = tail_in(&t, r, left, n, (size_t)k->targets);
    status = general_loop(k, want, last, !r.weights, (size_t)LANES, c, sum, bad);
    tail_out(r, &t, left, n, second), *bad += whole;
    return status;
}

/* ---- several outputs per row: tiles of at most TILE observations, laid out as rows with one output ---- */
typedef struct { real z[MAX_LOGITS * TILE], offset[TILE], y[2 * TILE], weights[TILE], nll[TILE], mean[TILE], variance[TILE],
                 grad[MAX_LOGITS * TILE], params[MAX_LOGITS * TILE], curvature[SECOND * TILE], fisher[SECOND * TILE]; } Tile;
typedef struct { size_t row, rows, column, columns, outputs; } Window;

/* Between blocks along a row, (rows, logits * outputs), and logits side by side, (observations, logits). */
SELDOM void gather(real *tile, const real *p, Window w, size_t logits)
{
    if (!p) return;
    for (size_t i = 0; i < w.rows; i++) for (size_t j = 0; j < w.columns; j++) for (size_t k = 0; k < logits; k++)
        tile[(i * w.columns + j) * logits + k] = p[((w.row + i) * logits + k) * w.outputs + w.column + j];
}
SELDOM void scatter(real *p, const real *tile, Window w, size_t logits)
{
    if (!p) return;
    for (size_t i = 0; i < w.rows; i++) for (size_t j = 0; j < w.columns; j++) for (size_t k = 0; k < logits; k++)
        p[((w.row + i) * logits + k) * w.outputs + w.column + j] = tile[(i * w.columns + j) * logits + k];
}
/* The matrices of a row's outputs, spread over the matrix of the row: outputs do not touch each other. */
SELDOM void scatter_second(real *p, const real *tile, Window w, size_t logits, int block)
{
    size_t width = logits * w.outputs;
    if (!block) { scatter(p, tile, w, logits); return; }
    for (size_t i = 0; p && i < w.rows; i++) {
        real *row = p + (w.row + i) * width * width;
        if (!w.column) memset(row, 0, width * width * sizeof(real));
        for (size_t j = 0; j < w.columns; j++) for (size_t k = 0; k < logits; k++) for (size_t l = 0; l < logits; l++)
            row[(k * w.outputs + w.column + j) * width + l * w.outputs + w.column + j]
                = tile[((i * w.columns + j) * logits + k) * logits + l];
    }
}

APART int pointwise_tile(const Spec *k, Window w, const ps_call *c, int want, double *sum, size_t *bad)
{
    Tile t;
    Rows all = rows_of(c);
    size_t logits = (size_t)k->logits;
    int block = c->flags & PS_BLOCK;
    gather(t.z, all.z, w, logits), gather(t.offset, all.offset, w, 1), gather(t.y, all.y, w, (size_t)k->targets);
    for (size_t e = 0; all.weights && e < w.rows * w.columns; e++) t.weights[e] = all.weights[w.row + e / w.columns];
    Rows r = STAND_IN(&t, all);
    if (!all.weights) r.weights = NULL;
    int status = pointwise_rows(k, r, w.rows * w.columns, c, want, sum, bad);
    if (status != PS_OK) return *bad = w.row + *bad / w.columns, status;
    for (size_t e = 0; all.nll && e < w.rows * w.columns; e++)
        all.nll[w.row + e / w.columns] = (w.column || e % w.columns ? all.nll[w.row + e / w.columns] : 0) + t.nll[e];
    scatter(all.grad, t.grad, w, logits), scatter(all.params, t.params, w, logits), scatter(all.mean, t.mean, w, 1);
    scatter(all.variance, t.variance, w, 1), scatter_second(all.curvature, t.curvature, w, logits, block);
    scatter_second(all.fisher, t.fisher, w, logits, block);
    return PS_OK;
}

APART int pointwise_head(const Spec *k, const ps_call *c, int want, double *sum, size_t *bad)
{
    size_t d = c->outputs, tall = d < TILE ? TILE / d : 1;
    if (c->width != d * (size_t)k->logits || (c->y && c->target_kind != (k->targets == 2 ? PS_PAIRS : PS_REALS)))
        return PS_BAD_CALL;
    if (d == 1) return pointwise_rows(k, rows_of(c), c->rows, c, want, sum, bad);
    ps_call tiled = *c;
    tiled.flags &= ~PS_STREAM;                   /* what is written is a tile in L1 */
    for (size_t row = 0; row < c->rows; row += tall) for (size_t column = 0; column < d; column += TILE) {
        Window w = {row, c->rows - row < tall ? c->rows - row : tall, column, d - column < TILE ? d - column : TILE, d};
        int status = pointwise_tile(k, w, &tiled, want, sum, bad);
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
    if (d == 1 && e + (size_t)LANES <= count) return weights ? load(weights + e) : C(1);
    for (size_t i = 0; i < (size_t)LANES; i++)
        part[i] = e + i >= count ? 0 : weights ? weights[row_of(e + i, d)] : 1;
    return load(part);
}

SELDOM int base_loop(Base *base, Support *outside, size_t targets, const ps_call *c, double *sum, size_t *bad)
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
        Mask wrong = both(live, targets == 2 ? either(outside(o.y, o.fixed.integer), outside(o.y2, o.fixed.integer))
                                             : outside(o.y, o.fixed.integer));
        if (any_lane(wrong)) return *bad = row_of(e + (size_t)first_lane(wrong), d), PS_BAD_TARGET;
        V b = select(live, w * base(o), C(0));
        s = add(s, b), store(part, b);
        for (size_t i = 0; nll && i < (size_t)LANES && e + i < count; i++) nll[row_of(e + i, d)] += part[i];
    }
    *sum += total_of(s);
    return PS_OK;
}

/* ---- what a family file says ---- */

/* What it is outside of HOT loops, where no link is inlined. */
INLINE Obs seldom(Obs o) { o.bare = 0; return o; }

/* Once per likelihood: reals in a target, support, terms in y alone. */
#define LIKELIHOOD(likelihood, targets, support, base) \
    INLINE Mask likelihood##_support(V y, Mask whole) { return outside_##support(y, whole); } \
    INLINE Doubt likelihood##_doubt(V y, Mask whole) { return doubt_##support(y, whole); } \
    enum { likelihood##_targets = targets }; \
    static int likelihood##_terms(const ps_call *c, double *sum, size_t *bad) \
    { return base_loop(base, outside_##support, targets, c, sum, bad); }
/* A likelihood in terms of its mean, likelihood_of, for COLD and HOT pairs. */
#define TRAINED_1(likelihood) \
    APART Mask likelihood##_training(const V *y, const Mean *m, const Obs *o, int count, int kind, V *nll, V *grad) \
    { return training_loop(likelihood##_of, likelihood##_doubt, y, m, o, count, kind, nll, grad); }
#define TRAINED_2(likelihood)
#define TRAINING_1(likelihood) likelihood##_training
#define TRAINING_2(likelihood) NULL
#define LINKABLE(likelihood, logits) \
    TRAINED_##logits(likelihood) \
    APART void likelihood##_apart(const Obs *o, const Mean *m, int kind, Point *p) \
    { \
        Point q = likelihood##_of(seldom(*o), *m); \
        give_gradient(&q, o, kind), answer(&q, o->want, logits, p); \
    }
#define COLD(likelihood, link, logits, kind, undefined) \
    SPEC(likelihood, link, likelihood##_apart, link##_apart, NULL, TRAINING_##logits(likelihood), logits, kind, undefined)
#define LINKED(likelihood, link) \
    INLINE Point likelihood##_##link(Obs o) { return likelihood##_of(o, link##_hot(o.z[0])); }
/* Where the value costs next to nothing: who wants the gradient alone gets a sum that nobody reads. */
#define HOT(likelihood, link, logits, kind) \
    LINKED(likelihood, link) BARE_TWICE(likelihood, link, likelihood##_##link, NULL, logits, kind) \
    SPEC(likelihood, link, likelihood##_apart, link##_apart, likelihood##_##link##_bare, NULL, logits, kind, NULL)
/* The same for a link whose `part`, its only costly one, may begin ahead. */
#define HOT_AHEAD(likelihood, link, part, logits, kind) \
    INLINE Point likelihood##_##link(Obs o) \
    { return likelihood##_of(o, link##_##part##_hot(o.z[0], LOOKS_FAR ? link##_##part(o.z) : o.begun)); } \
    BARE_TWICE(likelihood, link, likelihood##_##link, LOOKS_FAR ? NULL : link##_##part, logits, kind) \
    SPEC(likelihood, link, likelihood##_apart, link##_apart, likelihood##_##link##_bare, NULL, logits, kind, NULL)
/* A large formula is compiled once. */
#define HOT_LARGE(likelihood, link, begin, logits, kind) \
    LINKED(likelihood, link) BARE_ONCE(likelihood, link, likelihood##_##link, begin, logits, kind) \
    SPEC(likelihood, link, likelihood##_apart, link##_apart, likelihood##_##link##_bare, NULL, logits, kind, NULL)
/* A formula in terms of the logits. */
#define WHOLE(likelihood, link, formula, logits, kind) \
    APART void likelihood##_##link##_apart(const Obs *o, const Mean *m, int gradient, Point *p) \
    { \
        Point q = formula(seldom(*o)); \
        (void)m, (void)gradient, give_gradient(&q, o, kind), answer(&q, o->want, logits, p); \
    }
#define COLD_WHOLE(likelihood, link, formula, logits, kind) \
    WHOLE(likelihood, link, formula, logits, kind) \
    SPEC(likelihood, link, likelihood##_##link##_apart, NULL, NULL, NULL, logits, kind, NULL)
#define HOT_WHOLE(likelihood, link, formula, begin, logits, kind) \
    WHOLE(likelihood, link, formula, logits, kind) BARE(likelihood, link, formula, begin, logits, kind) \
    SPEC(likelihood, link, likelihood##_##link##_apart, NULL, likelihood##_##link##_bare, NULL, logits, kind, NULL)
#define HOT_LARGE_WHOLE(likelihood, link, formula, begin, logits, kind) \
    WHOLE(likelihood, link, formula, logits, kind) BARE_ONCE(likelihood, link, formula, begin, logits, kind) \
    SPEC(likelihood, link, likelihood##_##link##_apart, NULL, likelihood##_##link##_bare, NULL, logits, kind, NULL)

#define BARE_WITH(likelihood, link, formula, begin, kind, logits, want, more) \
    bare_loop(formula, begin, kind, logits, likelihood##_doubt, (real)link##_ordinary, want, more, r, n, c, sum)
#define BARE(likelihood, link, formula, begin, logits, kind) \
    static int likelihood##_##link##_bare(const Rows *r, size_t n, const ps_call *c, int want, double *sum) \
    { return has_more(r) ? BARE_WITH(likelihood, link, formula, begin, kind, logits, GRAD | VALUE | MEAN | FISHER, 1) \
           : want & VALUE ? BARE_WITH(likelihood, link, formula, begin, kind, logits, GRAD | VALUE, 0) \
                          : BARE_WITH(likelihood, link, formula, begin, kind, logits, GRAD, 0); }
#define BARE_TWICE(likelihood, link, formula, begin, logits, kind) \
    static int likelihood##_##link##_bare(const Rows *r, size_t n, const ps_call *c, int want, double *sum) \
    { (void)want; return has_more(r) ? BARE_WITH(likelihood, link, formula, begin, kind, logits, GRAD | VALUE | MEAN | FISHER, 1) \
                                     : BARE_WITH(likelihood, link, formula, begin, kind, logits, GRAD | VALUE, 0); }
#define BARE_ONCE(likelihood, link, formula, begin, logits, kind) \
    static int likelihood##_##link##_bare(const Rows *r, size_t n, const ps_call *c, int want, double *sum) \
    { return BARE_WITH(likelihood, link, formula, begin, kind, logits, want | GRAD | VALUE, 1); }
#define SPEC(likelihood, link, formula, map, bare, training, logits, kind, undefined) \
    static const Spec likelihood##_##link##_spec = {formula, map, bare, training, likelihood##_support, undefined, kind, \
                                                    logits, likelihood##_targets, NULL}; \
    static int likelihood##_##link##_head(const ps_call *c, int want, double *sum, size_t *bad) \
    { return pointwise_head(&likelihood##_##link##_spec, c, want, sum, bad); }
/* A gate around a family of counts, whichever link it has: one more logit, the terms in y alone are the family's. */
#define EACH_COUNT(F, gate) \
    F(gate, poisson, log) F(gate, poisson, softplus) F(gate, poisson, sqrt) F(gate, poisson, identity) \
    F(gate, negative_binomial, log) F(gate, negative_binomial, softplus) \
    F(gate, negative_binomial_concentration, log) F(gate, negative_binomial_concentration, softplus)
#define GATED(around, likelihood, link) \
    static int around##_##likelihood##_##link##_head(const ps_call *c, int want, double *sum, size_t *bad) \
    { \
        Spec k = likelihood##_##link##_spec; \
        k.gate = around, k.bare = NULL, k.logits++; \
        return pointwise_head(&k, c, want, sum, bad); \
    }
#endif
