/* Categorical, softmax link: one of K classes. p_k = exp(z_k) / sum of exp(z),  nll = sum of q_k (log-sum-exp - z_k),
 * gradient = p - q, curvature = Fisher information: p_k (1 - p_k) on the diagonal.  Bishop (2006), section 4.3.4.
 * The target q is one-hot (labels) or a row of probabilities; label smoothing e and class weights w make it
 * q_k = w_k ((1 - e) q_k + e / K), whose sum `mass` weighs the row: gradient = mass p - q, curvature = mass p (1 - p).
 * A class masked by a logit of -infinity has p = 0; 0 * inf = 0. Where the largest logit is infinite all is NaN. */

/* What one batch (LANES rows across, or one row along) is about; lanes are rows, or all the same row. */
typedef struct {
    Strip strip[2];                              /* across: one; along: whole vectors, and the last, padded one */
    int across, hard;                            /* hard: all of the target is on the label */
    V keep, spread;                              /* 1 - e, e / K */
    ireal label[LANES];
    V at_label;                                  /* the label's logit */
    V mass, weight, scale;
    Mask live;                                   /* rows of positive weight */
    Softmax softmax;
} Batch;

/* ---- targets ---- */
INLINE V smoothed(const Batch *b, const Strip *s, size_t j, V q)
{
    q = fma_(b->keep, q, b->spread);
    if (!s->class_weights) return q;
    if (b->across) return q * C(s->class_weights[j]);
    Sum weights;
    memcpy(&weights, s->class_weights + j * (size_t)LANES, sizeof weights);
    return q * lane_sums(weights);
}
INLINE V target_at(const Batch *b, const Strip *s, size_t j)
{
    if (s->y) return smoothed(b, s, j, load(s->y + j * (size_t)LANES));
    I class = b->across ? isplat((ireal)j) : lane_numbers() + isplat((ireal)(s->first + j * (size_t)LANES)), label;
    memcpy(&label, b->label, sizeof label);
    return smoothed(b, s, j, select(class == label, C(1), C(0)));
}

/* Sums over the classes of each lane's row: of q, of q (top - z), and of what q would be if the target were p. */
enum { MASS, CROSS, EXPECTED };
INLINE V batch_sum(const Batch *b, int what, V top)
{
    Long sum = {0, 0};
    for (int i = 0; i < (b->across ? 1 : 2); i++) for (size_t from = 0; from < b->strip[i].count; from += CHUNK) {
        Strip s = chunk_of(&b->strip[i], from);
        Sum part = no_sum();
        if (b->across) s = b->strip[0];
        for (size_t j = 0; j < s.count; j++) {
            size_t at = j * (size_t)LANES;
            V q = what == EXPECTED ? smoothed(b, &s, j, load(s.e + at) * b->softmax.inverse) : target_at(b, &s, j);
            part = add(part, what == CROSS ? times(q, top - load(s.z + at)) : q);
        }
        if (b->across) return lane_sums(part);
        sum = carry(sum, part);
    }
    return long_total(0, sum);
}

/* Rows of probabilities: each finite and >= 0, their sum within 1e-3 (float32) or 1e-6 (float64) of 1. */
INLINE Mask outside_simplex(const Batch *b)
{
    Mask wrong = first_lanes(0);
    Sum sum = no_sum();
    for (int i = 0; i < (b->across ? 1 : 2); i++) for (size_t j = 0; j < b->strip[i].count; j++) {
        V q = load(b->strip[i].y + j * (size_t)LANES);
        wrong = either(wrong, negate(both(q >= C(0), is_finite(q))));
        sum = add(sum, q);
    }
    V total = b->across ? lane_sums(sum) : splat((real)total_of(sum));
    wrong = either(wrong, negate(abs_(total - C(1)) <= C(REAL_BITS == 32 ? 1e-3 : 1e-6)));
    return b->across ? wrong : first_lanes(any_lane(wrong) ? (size_t)LANES : 0);
}

/* Reads weights and labels of the batch's rows; returns PS_BAD_TARGET before a label is used as an index. */
INLINE int read_rows(Batch *b, const ps_call *c, size_t row, size_t rows, size_t *bad)
{
    const real *z = c->z, *weights = c->weights;
    const int64_t *labels = c->target_kind == PS_LABELS ? c->y : NULL;
    real at_label[LANES], mass[LANES], weight[LANES];
    for (size_t i = 0; i < (size_t)LANES; i++) {
        size_t from = row + (i < rows ? i : rows - 1), k = 0;
        weight[i] = b->across && i >= rows ? 0 : weights ? weights[from] : 1;
        if (labels && (uint64_t)labels[from] < c->width) k = (size_t)labels[from];
        else if (labels && weight[i] > 0) return *bad = from, PS_BAD_TARGET;
        b->label[i] = (ireal)k, at_label[i] = z ? z[from * c->width + k] : 0;
        mass[i] = c->options->class_weights ? (real)c->options->class_weights[k] : 1;
    }
    b->at_label = load(at_label), b->mass = load(mass), b->weight = load(weight);
    b->live = b->weight > C(0);
    return PS_OK;
}

/* ---- outputs ---- */
enum { PROBABILITIES, CURVATURES, INFORMATION, GRADIENT, OUTPUTS };
INLINE real *output_of(const ps_call *c, int output)
{
    return output == PROBABILITIES ? c->params : output == CURVATURES ? c->curvature
         : output == INFORMATION ? c->fisher : c->grad;
}
INLINE Point share_of(V e, Softmax f)
{
    V p = e * f.inverse;
    return (Point){.mean = p, .rest = select(e == C(1), f.rest * f.inverse, C(1) - p)};
}
INLINE void strip_out(real *out, const Batch *b, const Strip *s, int output, int hard, Mask live, V factor)
{
    for (size_t j = 0; j < s->count; j++) {
        Point p = share_of(load(s->e + j * (size_t)LANES), b->softmax);
        V x = p.mean;
        if (output == CURVATURES) x = p.mean * p.rest;
        if (output == GRADIENT && hard) x = residual(p, (Obs){.y = C(0)}, CANONICAL);     /* but at the label */
        if (output == GRADIENT && !hard) {
            V y = target_at(b, s, j) / b->mass;
            x = residual(p, (Obs){.y = y, .y2 = C(1) - y}, PROPORTION);
        }
        store(out + j * (size_t)LANES, output == PROBABILITIES ? x : select(live, x * factor, C(0)));
    }
}
/* The gradient at the label: minus the sum of the other classes' probabilities. */
INLINE V label_gradient(const Batch *b, Mask live, V factor)
{
    Point p = share_of(exp_below(b->at_label, b->softmax.top), b->softmax);
    return select(live, residual(p, (Obs){.y = C(1), .y2 = C(0)}, PROPORTION) * factor, C(0));
}
INLINE void strip_output(real *out, const Batch *b, const Strip *s, int output, Mask live, V factor)
{
    if (output == PROBABILITIES) strip_out(out, b, s, PROBABILITIES, 0, live, factor);
    else if (output != GRADIENT) strip_out(out, b, s, CURVATURES, 0, live, factor);
    else if (b->hard) strip_out(out, b, s, GRADIENT, 1, live, factor);
    else strip_out(out, b, s, GRADIENT, 0, live, factor);
}

/* Fills in mass and softmax; returns w nll. */
INLINE V batch_value(Batch *b, const ps_call *c, int want)
{
    V top = b->across ? top_across(b->strip) : top_along(b->strip), cross = top - b->at_label, nll = C(0);
    int value = (want & VALUE) != 0;
    if (c->y && !b->hard) b->mass = batch_sum(b, MASS, top);
    if (value && !b->hard) cross = batch_sum(b, CROSS, top);
    b->softmax = b->across ? softmax_across(b->strip, top) : softmax_along(b->strip, top);
    if (!value) return nll;
    V log_rest = vlog1p(b->softmax.rest);
    nll = b->hard ? b->mass * (cross + log_rest) : fma_(b->mass, log_rest, cross);
    return select(both(b->live, b->mass > C(0)), nll * b->weight, C(0));
}
/* What multiplies an output's row, and which rows have one. */
INLINE V factor_of(const Batch *b, int output, Mask *live)
{
    V mass = output != INFORMATION ? b->mass : b->strip[0].class_weights ? batch_sum(b, EXPECTED, C(0)) : C(1);
    *live = both(b->live, mass > C(0));
    return output == GRADIENT ? mass * b->weight * b->scale : mass * b->weight;
}

/* ---- across rows ---- */
INLINE void write_across(const Batch *b, const ps_call *c, size_t row, size_t rows, real *tile, real *copy)
{
    Mask live;
    for (int output = 0; output < OUTPUTS; output++) {
        real *out = output_of(c, output);
        if (!out) continue;
        V factor = factor_of(b, output, &live);
        out += row * c->width;
        strip_output(tile, b, b->strip, output, live, factor);
        if (rows == (size_t)LANES) tile_out(out, tile, c->width);
        else part_out(out, copy, tile, rows, c->width);
        if (output != GRADIENT || !b->hard) continue;
        V at = label_gradient(b, live, factor);
        for (size_t i = 0; i < rows; i++) out[i * c->width + (size_t)b->label[i]] = lane(at, (int)i);
    }
}
INLINE int categorical_across(Batch *b, const ps_call *c, int want, size_t row, size_t rows, Sum *sum, size_t *bad)
{
    real z[FEW * LANES], y[FEW * LANES], e[FEW * LANES], tile[FEW * LANES], copy[FEW * LANES];
    const real *targets = c->target_kind == PS_ROWS ? c->y : NULL;
    if (read_rows(b, c, row, rows, bad) != PS_OK) return PS_BAD_TARGET;
    if (rows == (size_t)LANES) tile_in(z, (const real *)c->z + row * c->width, c->width);
    else part_in(z, copy, (const real *)c->z + row * c->width, rows, c->width);
    if (targets && rows == (size_t)LANES) tile_in(y, targets + row * c->width, c->width);
    else if (targets) part_in(y, copy, targets + row * c->width, rows, c->width);
    b->strip[0] = (Strip){0, c->width, z, targets ? y : NULL, c->options->class_weights, e};
    if (targets) {
        Mask wrong = both(outside_simplex(b), b->live);
        if (any_lane(wrong)) return *bad = row + (size_t)first_lane(wrong), PS_BAD_TARGET;
    }
    V nll = batch_value(b, c, want);
    *sum = add(*sum, nll);
    if (c->nll) store_part((real *)c->nll + row, nll, rows);
    write_across(b, c, row, rows, tile, copy);
    return PS_OK;
}

/* ---- along a row ---- */
typedef struct { real z[LANES], y[LANES], e[LANES], out[LANES]; double class_weights[LANES]; } LastVector;
INLINE void aim_along(Batch *b, LastVector *last, const ps_call *c, size_t row, real *e)
{
    size_t whole = c->width - c->width % (size_t)LANES;
    const real *z = c->z ? (const real *)c->z + row * c->width : NULL;
    const real *y = c->y && c->target_kind == PS_ROWS ? (const real *)c->y + row * c->width : NULL;
    const double *weights = c->options->class_weights;
    for (size_t i = 0, k = whole; i < (size_t)LANES; i++, k++) {
        last->z[i] = k < c->width && z ? z[k] : -(real)INFINITY;
        last->y[i] = k < c->width && y ? y[k] : 0;
        last->class_weights[i] = k >= c->width ? 0 : weights ? weights[k] : 1;
    }
    b->strip[0] = (Strip){0, whole / (size_t)LANES, z, y, weights, e};
    b->strip[1] = (Strip){whole, whole < c->width, last->z, y ? last->y : NULL, last->class_weights, last->e};
}
INLINE void write_along(const Batch *b, const ps_call *c, size_t row, real *last)
{
    size_t whole = b->strip[1].first, left = c->width - whole;
    Mask live;
    for (int output = 0; output < OUTPUTS; output++) {
        real *out = output_of(c, output);
        if (!out) continue;
        V factor = factor_of(b, output, &live);
        out += row * c->width;
        strip_output(last, b, &b->strip[1], output, live, factor);
        strip_output(out, b, &b->strip[0], output, live, factor);
        if (left) memcpy(out + whole, last, left * sizeof(real));
        if (output == GRADIENT && b->hard) out[(size_t)b->label[0]] = lane(label_gradient(b, live, factor), 0);
    }
}
INLINE int categorical_along(Batch *b, const ps_call *c, int want, size_t row, double *sum, size_t *bad)
{
    LastVector last;
    real *e = NULL;                              /* in the output that is written last, so that nothing is allocated */
    for (int output = 0; output < OUTPUTS; output++)
        if (output_of(c, output)) e = output_of(c, output) + row * c->width;
    if (read_rows(b, c, row, 1, bad) != PS_OK) return PS_BAD_TARGET;
    aim_along(b, &last, c, row, e);
    if (b->strip[0].y && any_lane(both(outside_simplex(b), b->live))) return *bad = row, PS_BAD_TARGET;
    V nll = batch_value(b, c, want);
    *sum += (double)lane(nll, 0);
    if (c->nll) ((real *)c->nll)[row] = lane(nll, 0);
    write_along(b, c, row, last.out);
    return PS_OK;
}

/* ---- the head ---- */
INLINE Batch batch_for(const ps_call *c, int across)
{
    double smoothing = c->options->smoothing;
    return (Batch){.across = across, .hard = c->target_kind == PS_LABELS && smoothing == 0, .scale = C(c->scale),
                   .keep = C(1 - smoothing), .spread = C(smoothing / (double)c->width)};
}
static int categorical_few(const ps_call *c, int want, double *sum, size_t *bad)
{
    Batch b = batch_for(c, 1);
    Sum s = no_sum();
    int status = PS_OK;
    for (size_t row = 0; row < c->rows && status == PS_OK; row += (size_t)LANES) {
        size_t left = c->rows - row;
        status = categorical_across(&b, c, want, row, left < (size_t)LANES ? left : (size_t)LANES, &s, bad);
    }
    *sum += total_of(s);
    return status;
}
static int categorical_many(const ps_call *c, int want, double *sum, size_t *bad)
{
    Batch b = batch_for(c, 0);
    int status = PS_OK;
    for (size_t row = 0; row < c->rows && status == PS_OK; row++) status = categorical_along(&b, c, want, row, sum, bad);
    return status;
}
INLINE int categorical_misses(const ps_call *c)  /* what this head does not have */
{
    int kind = c->target_kind == PS_LABELS || c->target_kind == PS_ROWS;
    return c->outputs != 1 || c->offset || c->mean || c->variance || (c->y && !kind);
}
static int categorical_softmax_head(const ps_call *c, int want, double *sum, size_t *bad)
{
    if (categorical_misses(c)) return PS_BAD_CALL;
    return c->width <= FEW ? categorical_few(c, want, sum, bad) : categorical_many(c, want, sum, bad);
}
/* There are no terms in y alone; without logits this is the check of y. */
static int categorical_terms(const ps_call *c, double *sum, size_t *bad)
{
    Batch b = batch_for(c, 0);
    LastVector last;
    (void)sum;
    if (c->z) return PS_OK;
    if (categorical_misses(c)) return PS_BAD_CALL;
    for (size_t row = 0; row < c->rows; row++) {
        if (read_rows(&b, c, row, 1, bad) != PS_OK) return PS_BAD_TARGET;
        if (c->target_kind == PS_LABELS) continue;
        aim_along(&b, &last, c, row, NULL);
        if (any_lane(both(outside_simplex(&b), b.live))) return *bad = row, PS_BAD_TARGET;
    }
    return PS_OK;
}
