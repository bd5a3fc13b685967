/* Ordinal, logit link: one of K ordered classes. The logits t_k = c_k - z, k < K - 1, never decrease along a row:
 * P(y <= k) = sigmoid(t_k). With a = t_(y-1), or -infinity, b = t_y, or +infinity, and d = b - a, y has the probability
 * sigmoid(b) - sigmoid(a) = sigmoid(b) (1 - sigmoid(a)) (1 - e^-d), so that nothing cancels in
 * nll = softplus(-b) + softplus(a) - log(1 - e^-d); of a class of no width it is infinite.
 * With v = 1 / (e^d - 1): gradient -(1 - sigmoid(b)) - v at b and sigmoid(a) + v at a; their curvatures are
 * s (1 - s) + v (1 + v), and -v (1 + v) between the two. An offset is added to z.
 * McCullagh (1980), Regression models for ordinal data. */
typedef struct { V t, below, above, up, down; } Cut;            /* sigmoid(t), 1 - sigmoid(t), minus the log of each */
INLINE Cut cut_of(V t, Logistic l)
{
    return (Cut){t, l.sigmoid, l.rest, max_(-t, C(0)) + l.log1p_t, max_(t, C(0)) + l.log1p_t};
}
/* The class between two cuts: v, its probability p, and p v (1 + v). */
typedef struct { V gap, v, p, bend; Decay decay; } Class;
INLINE Class class_between(const Cut *a, const Cut *b)
{
    Exact gap = two_sum(b->t, -a->t);            /* of a wide class its rounding error is a relative one of e^-gap */
    gap.sum = select(is_nan(gap.sum), INF, gap.sum);             /* between infinite cuts; other NaN see `nan` */
    Decay d = decay_of(gap.sum, select(gap.sum < C(-EXP_LOW), gap.error, C(0)));
    V joint = b->below * a->above, v = d.rest / d.share;
    return (Class){gap.sum, v, joint * d.share, times(joint, v), d};
}

typedef struct { Columns z, out; V offset, nan; size_t rows, width; } OrdinalRows;
INLINE V ordinal_logit(const OrdinalRows *o, size_t k) { return column(&o->z, k) - o->offset; }
/* Which rows decrease; a NaN makes all of its row NaN. */
INLINE Mask ordinal_wrong(OrdinalRows *o)
{
    Mask wrong = first_lanes(0);
    V before = -INF;
    o->nan = C(0);
    for (size_t k = 0; k < o->width; k++) {
        V t = ordinal_logit(o, k);
        wrong = either(wrong, t < before), o->nan = select(is_nan(t), t, o->nan), before = t;
    }
    return wrong;
}

/* A value for each logit of the target's two, 0 for the others. */
SELDOM void ordinal_write(OrdinalRows *o, real *out, V y, V at_a, V at_b, V factor, Mask live)
{
    o->out.out = out;
    for (size_t k = 0; k < o->width; k++) {
        V x = select(y == C(k), at_b, select(y == C(k) + C(1), at_a, C(0))) + o->nan;
        set_column(&o->out, k, select(live, x * factor, C(0)));
    }
    write_columns(&o->out);
}
SELDOM V ordinal_target(OrdinalRows *o, const ps_call *c, size_t row, V y, V w)
{
    real low[LANES], high[LANES];
    const real *z = (const real *)c->z + row * o->width;
    for (size_t i = 0; i < (size_t)LANES; i++) {
        size_t from = i < o->rows ? i : o->rows - 1, k = lane(w, (int)i) > 0 ? (size_t)lane(y, (int)from) : 0;
        low[i] = k ? z[from * o->width + k - 1] : -(real)INFINITY;
        high[i] = k < o->width ? z[from * o->width + k] : (real)INFINITY;
    }
    V at_a = load(low) - o->offset, at_b = load(high) - o->offset;
    Cut a = cut_of(at_a, logistic_called(at_a)), b = cut_of(at_b, logistic_called(at_b));
    Class s = class_between(&a, &b);
    Mask live = w > C(0);
    V bend = s.v * (C(1) + s.v), nll = b.up + a.down - decay_log_share(s.gap, s.decay);
    real *grad = c->grad, *curvature = c->curvature;
    if (grad) ordinal_write(o, grad + row * o->width, y, a.below + s.v, -(b.above + s.v), w * C(c->scale), live);
    if (curvature)
        ordinal_write(o, curvature + row * o->width, y, a.below * a.above + bend, b.below * b.above + bend, w, live);
    return select(live, (nll + o->nan) * w, C(0));
}

/* The moments, mean = sum of P(y > k), variance = sum of P(y > k) (P(y <= k) + 2 sum of P(y <= j) over j < k); and a
 * column for each logit: P(y <= k), or the expected curvature, s (1 - s) times the probability of the classes on either
 * side and the bends of both. */
enum { ORDINAL_MOMENTS, ORDINAL_PARAMS, ORDINAL_INFORMATION };
APART void ordinal_expected(OrdinalRows *o, const ps_call *c, size_t row, V w, real *out, int what)
{
    real *means = c->mean, *variances = c->variance;
    V mean = o->nan, variance = o->nan, below = C(0);
    Cut a = {.t = -INF, .below = C(0), .above = C(1)};
    Class before = {.p = C(0), .bend = C(0)};
    o->out.out = out;
    for (size_t k = 0; k <= o->width; k++) {
        Cut b = k < o->width ? cut_of(ordinal_logit(o, k), logistic(ordinal_logit(o, k))) : (Cut){.t = INF, .below = C(1), .above = C(0)};
        mean = mean + b.above, variance = variance + b.above * (b.below + C(2) * below), below = below + b.below;
        if (what == ORDINAL_PARAMS && k < o->width) set_column(&o->out, k, b.below + o->nan);
        if (what != ORDINAL_INFORMATION) continue;
        Class s = k && k < o->width ? class_between(&a, &b) : (Class){.p = k ? a.above : b.below, .bend = C(0)};
        V x = a.below * a.above * (before.p + s.p) + (before.bend + s.bend) + o->nan;
        if (k) set_column(&o->out, k - 1, select(w > C(0), x * w, C(0)));
        a = b, before = s;
    }
    if (out) write_columns(&o->out);
    if (means) store_part(means + row, mean, o->rows);
    if (variances) store_part(variances + row, variance, o->rows);
}

static int ordinal_batch(OrdinalRows *o, const ps_call *c, size_t row, Sum *sum, size_t *bad)
{
    V w = row_weights(c, row, o->rows), y = c->y ? load_part((const real *)c->y + row, o->rows) : C(0);
    Mask live = w > C(0), inside = both(both(y >= C(0), y <= C(o->width)), is_whole(y));
    move_columns(&o->z, c->z, row, o->rows), o->out.rows = o->rows;
    read_columns(&o->z);
    o->offset = c->offset ? load_part((const real *)c->offset + row, o->rows) : C(0);
    Mask wrong = both(ordinal_wrong(o), live), outside = both(negate(inside), live);
    if (any_lane(either(wrong, outside))) return fault_of(outside, wrong, row, bad);
    if (c->y) {
        V nll = ordinal_target(o, c, row, y, w);
        *sum = add(*sum, nll);
        if (c->nll) store_part((real *)c->nll + row, nll, o->rows);
    }
    if (c->params) ordinal_expected(o, c, row, w, (real *)c->params + row * o->width, ORDINAL_PARAMS);
    if (c->fisher) ordinal_expected(o, c, row, w, (real *)c->fisher + row * o->width, ORDINAL_INFORMATION);
    else if (!c->params && (c->mean || c->variance)) ordinal_expected(o, c, row, w, NULL, ORDINAL_MOMENTS);
    return PS_OK;
}
static int ordinal_logit_head(const ps_call *c, int want, double *sum, size_t *bad)
{
    V room[3 * FEW];
    size_t tile = c->width <= FEW ? c->width : 0;
    (void)want;
    if (c->outputs != 1 || (c->y && c->target_kind != PS_REALS) || c->flags & PS_BLOCK) return PS_BAD_CALL;
    OrdinalRows o = {.width = c->width};
    o.z = o.out = (Columns){.tile = tile ? (real *)room : NULL, .copy = (real *)(room + 2 * tile), .width = c->width};
    if (tile) o.out.tile = (real *)(room + tile);
    Sum s = no_sum();
    int status = PS_OK;
    for (size_t row = 0; row < c->rows && status == PS_OK; row += (size_t)LANES) {
        o.rows = c->rows - row < (size_t)LANES ? c->rows - row : (size_t)LANES;
        status = ordinal_batch(&o, c, row, &s, bad);
    }
    *sum += total_of(s);
    return status;
}
static int ordinal_terms(const ps_call *c, double *sum, size_t *bad)     /* there are no terms in y alone */
{
    (void)c, (void)sum, (void)bad;
    return PS_OK;
}
