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
    I class = isplat((ireal)(s->first + j * s->per)), label = isplat(b->label[0]);
    if (b->across) memcpy(&label, b->label, sizeof label);
    else class = class + lane_numbers();
    return smoothed(b, s, j, select(class == label, C(1), C(0)));
}

/* Sums over the classes of each lane's row: of q, of q (top - z), and of what q would be if the target were p. They are
 * summed GROUP at a time: smoothing makes nearly all q equal, so that in one long float64 sum every addition would be
 * rounded the same way. */
enum { MASS, CROSS, EXPECTED };
INLINE Sum strip_sum(const Batch *b, const Strip *s, int what)
{
    Sum sum = no_sum();
    for (size_t from = 0; from < s->count; from += GROUP) {
        Sum group = no_sum();
        size_t to = s->count - from < GROUP ? s->count : from + GROUP;
        for (size_t j = from; j < to; j++) {
            size_t at = j * (size_t)LANES;
            V q = what == EXPECTED ? smoothed(b, s, j, load(s->e + at) * b->softmax.inverse) : target_at(b, s, j);
            group = add(group, what == CROSS ? times(q, b->softmax.top - load(s->z + at)) : q);
        }
        sum = add_sums(sum, group);
    }
    return sum;
}
SELDOM V batch_sum(const Batch *b, int what)
{
    Long along = {0, 0};
    Sum across = no_sum();
    for (int i = 0; i < (b->across ? 1 : 2); i++) for (size_t from = 0; from < b->strip[i].count; from += CHUNK) {
        Strip s = chunk_of(&b->strip[i], from);
        Sum part = strip_sum(b, &s, what);
        if (b->across) across = add_sums(across, part);
        else along = carry(along, part);
    }
    return b->across ? lane_sums(across) : long_total(along);
}

/* Rows of probabilities: each finite and >= 0, their sum within 1e-3 (float32) or 1e-6 (float64) of 1. */
SELDOM Mask outside_simplex(const Batch *b)
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

/* Reads a label and returns its class, 0 for a row of weight 0; a label outside 0 ... K - 1 is `bad` before it is used. */
INLINE size_t label_of(const ps_call *c, size_t row, int read, int *bad)
{
    uint64_t label = (uint64_t)((const int64_t *)c->y)[row];
    if (label < c->width) return (size_t)label;
    return *bad |= read, 0;
}
SELDOM int labels_checked(Batch *b, const ps_call *c, size_t row, size_t rows, size_t *bad)
{
    for (size_t i = 0; i < (size_t)LANES; i++) {
        int wrong = 0;
        size_t from = row + (i < rows ? i : rows - 1);
        b->label[i] = (ireal)label_of(c, from, lane(b->weight, (int)i) > 0, &wrong);
        if (wrong) return *bad = from, PS_BAD_TARGET;
    }
    return PS_OK;
}
INLINE int labels_across(Batch *b, const ps_call *c, const real *tile, size_t row, size_t rows, size_t *bad)
{
    real picked[LANES];
    const double *weights = c->options->class_weights;
    const uint64_t *labels = (const uint64_t *)c->y + row;
    int doubt = rows < (size_t)LANES;            /* too few rows, or a label that is wrong unless its row has weight 0 */
    if (!doubt) UNROLLED for (int i = 0; i < LANES; i++) b->label[i] = (ireal)labels[i], doubt |= labels[i] >= c->width;
    if (doubt && labels_checked(b, c, row, rows, bad) != PS_OK) return PS_BAD_TARGET;
    UNROLLED for (int i = 0; i < LANES; i++) picked[i] = tile[(size_t)b->label[i] * LANES + (size_t)i];
    b->at_label = load(picked);
    if (!weights) return PS_OK;
    for (int i = 0; i < LANES; i++) picked[i] = (real)weights[b->label[i]];
    b->mass = load(picked);
    return PS_OK;
}
INLINE int labels_along(Batch *b, const ps_call *c, size_t row, size_t *bad)
{
    int wrong = 0;
    size_t k = label_of(c, row, lane(b->weight, 0) > 0, &wrong);
    if (wrong) return *bad = row, PS_BAD_TARGET;
    b->label[0] = (ireal)k;
    if (c->z) b->at_label = splat(((const real *)c->z)[row * c->width + k]);
    if (c->options->class_weights) b->mass = C(c->options->class_weights[k]);
    return PS_OK;
}
INLINE void weights_of(Batch *b, const ps_call *c, size_t row, size_t rows)
{
    const real *weights = c->weights;
    b->weight = b->mass = C(1);
    if (weights && b->across) b->weight = load_part(weights + row, rows);
    else if (weights) b->weight = splat(weights[row]);
    if (b->across && rows < (size_t)LANES) b->weight = select(first_lanes(rows), b->weight, C(0));
    b->live = b->weight > C(0);
}

/* ---- outputs ---- */
enum { PROBABILITIES, CURVATURES, INFORMATION, GRADIENT, OUTPUTS };
INLINE real *output_of(const ps_call *c, int output)
{
    return output == PROBABILITIES ? c->params : output == CURVATURES ? c->curvature
         : output == INFORMATION ? c->fisher : c->grad;
}
typedef struct { int output, hard; Mask live; V factor; } Writer;
INLINE V output_at(const Batch *b, const Strip *s, size_t j, Writer w)
{
    Point p = share_of(load(s->e + j * (size_t)LANES), b->softmax);
    V x = p.mean;
    if (w.output == PROBABILITIES) return x;
    if (w.output != GRADIENT) return select(w.live, p.mean * p.rest * w.factor, C(0));
    if (w.hard) x = residual(p, (Obs){.y = C(0)}, CANONICAL);             /* but at the label */
    else {
        V y = target_at(b, s, j) / b->mass;
        x = residual(p, (Obs){.y = y, .y2 = C(1) - y}, PROPORTION);
    }
    return select(w.live, x * w.factor, C(0));
}
INLINE void strip_along(real *out, const Batch *b, const Strip *s, Writer w)
{
    for (size_t j = 0; j < s->count; j++) store(out + j * (size_t)LANES, output_at(b, s, j, w));
}
INLINE void strip_across(real *out, const Batch *b, const Strip *s, Writer w)
{
    V x[COLUMNS];
    for (size_t k = 0; s->count >= COLUMNS && k < s->count; k += COLUMNS) {
        size_t group = group_at(k, s->count);
        UNROLLED for (int i = 0; i < COLUMNS; i++) x[i] = output_at(b, s, group + (size_t)i, w);
        store_columns(out + group, s->count, x);
    }
    if (s->count >= COLUMNS) return;
    for (size_t k = 0; k < s->count; k++) x[k] = output_at(b, s, k, w);
    narrow_out(out, x, s->count);
}
/* What training asks of a long row, where a share of 2^LIFT times an exponential keeps its digits. */
INLINE int shares_fit(const Batch *b, V factor)
{
    return lane(abs_(b->softmax.inverse * factor), 0) >= REAL_MIN / REAL_EPSILON;
}
INLINE void strip_shares(real *out, const Batch *b, const Strip *s, Mask live, V factor)
{
    V share = b->softmax.inverse * factor;
    for (size_t j = 0; j < s->count; j++) {
        size_t at = j * (size_t)LANES;
        store(out + at, select(live, load(s->e + at) * share, C(0)));
    }
}
INLINE void strip_write(real *out, const Batch *b, const Strip *s, Writer w)
{
    if (b->across) strip_across(out, b, s, w);
    else strip_along(out, b, s, w);
}
SELDOM void strip_soft(real *out, const Batch *b, const Strip *s, Writer w) { w.output = GRADIENT, strip_write(out, b, s, w); }
APART void strip_second(real *out, const Batch *b, const Strip *s, Writer w) { strip_write(out, b, s, w); }
/* The gradient at the label: minus the sum of the other classes' probabilities. */
APART V label_gradient(const Batch *b, Mask live, V factor)
{
    Point p = share_of(exp_relative(b->at_label, b->softmax.reference), b->softmax);
    return select(live, residual(p, (Obs){.y = C(1), .y2 = C(0)}, PROPORTION) * factor, C(0));
}
INLINE void write_labels(real *out, const Batch *b, size_t rows, size_t width, Mask live, V factor)
{
    V at = label_gradient(b, live, factor);
    for (size_t i = 0; i < rows; i++) out[i * width + (size_t)b->label[i]] = lane(at, (int)i);
}
/* What training asks for has a loop of its own. */
INLINE void strip_output(real *out, const Batch *b, const Strip *s, int output, Mask live, V factor)
{
    if (output == GRADIENT && b->hard && !b->across && shares_fit(b, factor)) strip_shares(out, b, s, live, factor);
    else if (output == GRADIENT && b->hard && b->across) strip_write(out, b, s, (Writer){GRADIENT, 1, live, factor});
    else if (output == GRADIENT) strip_soft(out, b, s, (Writer){GRADIENT, 0, live, factor});
    else strip_second(out, b, s, (Writer){output == PROBABILITIES ? PROBABILITIES : INFORMATION, 0, live, factor});
}

/* Sets softmax, and mass where the target is spread over classes; returns the sums of q (top - z). */
INLINE V batch_sums(Batch *b, const ps_call *c, int want, V top)
{
    const Strip *s = b->strip;
    V cross = C(0);
    b->softmax = softmax_start(top);
    if (want & VALUE && !b->hard) cross = batch_sum(b, CROSS);
    if (s->y || (c->y && !b->hard && s->class_weights)) b->mass = batch_sum(b, MASS);     /* smoothing alone keeps 1 */
    if (b->across) softmax_across(&b->softmax, s);
    else softmax_along(&b->softmax, s, c->width);
    return cross;
}
INLINE void give_nll(const Batch *b, const ps_call *c, V cross, size_t row, size_t rows, Sum *sum)
{
    V log_rest = log1p_called(b->softmax.rest), nll = fma_(b->mass, log_rest, cross);
    if (b->hard) nll = b->mass * ((b->softmax.top - b->at_label) + log_rest);
    nll = select(both(b->live, b->mass > C(0)), nll * b->weight, C(0));
    *sum = add(*sum, nll);
    if (c->nll) store_part((real *)c->nll + row, nll, rows);
}
/* What multiplies an output's row, and which rows have one. */
INLINE V factor_of(const Batch *b, int output, Mask *live)
{
    V mass = output != INFORMATION ? b->mass : b->strip[0].class_weights ? batch_sum(b, EXPECTED) : C(1);
    *live = both(b->live, mass > C(0));
    return output == GRADIENT ? mass * b->weight * b->scale : mass * b->weight;
}

/* ---- across rows ---- */
INLINE void write_across(const Batch *b, const ps_call *c, size_t row, size_t rows, real *copy)
{
    Mask live;
    for (int output = 0; output < OUTPUTS; output++) {
        real *out = output_of(c, output);
        if (!out) continue;
        V factor = factor_of(b, output, &live);
        out += row * c->width;
        strip_output(rows == (size_t)LANES ? out : copy, b, b->strip, output, live, factor);
        if (rows < (size_t)LANES) memcpy(out, copy, rows * c->width * sizeof(real));
        if (output == GRADIENT && b->hard) write_labels(out, b, rows, c->width, live, factor);
    }
}
INLINE V rows_in(real *tile, real *copy, const real *p, size_t rows, size_t width)
{
    if (rows == (size_t)LANES) return tile_in(tile, p, width);
    part_in(tile, copy, p, rows, width);
    return strip_max(-INF, &(Strip){.count = width, .z = tile});
}
INLINE int categorical_across(Batch *b, const ps_call *c, int want, size_t row, size_t rows, Sum *sum, size_t *bad)
{
    real z[FEW * LANES], y[FEW * LANES], e[FEW * LANES], copy[FEW * LANES];
    const real *targets = c->y && c->target_kind == PS_ROWS ? c->y : NULL;
    V top = rows_in(z, copy, (const real *)c->z + row * c->width, rows, c->width);
    b->strip[0] = (Strip){0, c->width, 1, z, targets ? y : NULL, c->options->class_weights, e, NULL};
    weights_of(b, c, row, rows);
    if (c->y && !targets && labels_across(b, c, z, row, rows, bad) != PS_OK) return PS_BAD_TARGET;
    if (targets) {
        rows_in(y, copy, targets + row * c->width, rows, c->width);
        Mask wrong = both(outside_simplex(b), b->live);
        if (any_lane(wrong)) return *bad = row + (size_t)first_lane(wrong), PS_BAD_TARGET;
    }
    V cross = batch_sums(b, c, want, top);
    if (want & VALUE) give_nll(b, c, cross, row, rows, sum);
    write_across(b, c, row, rows, copy);
    return PS_OK;
}

/* ---- along a row ---- */
typedef struct { real z[LANES], y[LANES], e[LANES], out[LANES]; double class_weights[LANES]; } LastVector;
INLINE void aim_along(Batch *b, LastVector *last, const ps_call *c, size_t row, real *e, const real *out)
{
    size_t left = c->width % (size_t)LANES, whole = c->width - left;
    const real *z = c->z ? (const real *)c->z + row * c->width : NULL;
    const real *y = c->y && c->target_kind == PS_ROWS ? (const real *)c->y + row * c->width : NULL;
    const double *weights = c->options->class_weights;
    Mask there = first_lanes(left);
    if (left && z) store(last->z, select(there, load_part(z + whole, left), -INF));
    if (left && y) store(last->y, select(there, load_part(y + whole, left), C(0)));
    for (size_t i = 0; i < (size_t)LANES && (weights || !b->hard); i++)
        last->class_weights[i] = i >= left ? 0 : weights ? weights[whole + i] : 1;
    b->strip[0] = (Strip){0, whole / (size_t)LANES, (size_t)LANES, z, y, weights, e, out ? out : z};
    b->strip[1] = (Strip){whole, left > 0, (size_t)LANES, last->z, y ? last->y : NULL, last->class_weights,
                           last->e, last->e};
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
    }
}
INLINE int categorical_along(Batch *b, const ps_call *c, int want, size_t row, real *buffer, V *cross, size_t *bad)
{
    LastVector last;
    real *out = NULL;                            /* what is written last: place for a long row's exponentials */
    for (int output = 0; output < OUTPUTS; output++)
        if (output_of(c, output)) out = output_of(c, output) + row * c->width;
    weights_of(b, c, row, 1);
    aim_along(b, &last, c, row, out && c->width <= ROW ? buffer : out, out);
    if (c->y && !b->strip[0].y && labels_along(b, c, row, bad) != PS_OK) return PS_BAD_TARGET;
    if (b->strip[0].y && any_lane(both(outside_simplex(b), b->live))) return *bad = row, PS_BAD_TARGET;
    *cross = C(0);
    if (!b->hard || b->strip[0].e != buffer || !softmax_tame(&b->softmax, b->strip, c->width)) {
        V top = splat(largest_lane(strip_max(strip_max(-INF, &b->strip[0]), &b->strip[1])));
        *cross = batch_sums(b, c, want, top);
    }
    write_along(b, c, row, last.out);
    return PS_OK;
}
/* Keeps what is known of a row in a lane. */
INLINE void keep_row(Batch *all, size_t i, const Batch *one)
{
    Softmax *to = &all->softmax;
    const Softmax *from = &one->softmax;
    V exponent = as_real(to->reference.exponent);
    set_lane(&to->top, i, lane(from->top, 0)), set_lane(&to->peak, i, lane(from->peak, 0));
    set_lane(&to->others, i, lane(from->others, 0)), set_lane(&to->rest, i, lane(from->rest, 0));
    set_lane(&to->inverse, i, lane(from->inverse, 0)), set_lane(&to->reference.low, i, lane(from->reference.low, 0));
    set_lane(&to->reference.shift, i, lane(from->reference.shift, 0));
    set_lane(&exponent, i, lane(as_real(from->reference.exponent), 0)), to->reference.exponent = as_int(exponent);
    set_lane(&all->at_label, i, lane(one->at_label, 0)), set_lane(&all->mass, i, lane(one->mass, 0));
    all->label[i] = one->label[0];
}
/* What is one number for each row is computed for all of them in lanes. */
INLINE void finish_along(Batch *all, const ps_call *c, int want, V cross, size_t row, size_t rows, Sum *sum)
{
    Mask live;
    V factor = factor_of(all, GRADIENT, &live);
    if (want & VALUE) give_nll(all, c, cross, row, rows, sum);
    if (c->grad && all->hard) write_labels((real *)c->grad + row * c->width, all, rows, c->width, live, factor);
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
    Batch b = batch_for(c, 0), all = batch_for(c, 1);
    V crosses = C(0), cross;
    Sum s = no_sum();
    real buffer[ROW];
    for (size_t row = 0, rows; row < c->rows; row += rows) {
        rows = c->rows - row < (size_t)LANES ? c->rows - row : (size_t)LANES;
        weights_of(&all, c, row, rows);
        for (size_t i = 0; i < rows; i++) {
            int status = categorical_along(&b, c, want, row + i, buffer, &cross, bad);
            if (status != PS_OK) return status;
            keep_row(&all, i, &b), set_lane(&crosses, i, lane(cross, 0));
        }
        finish_along(&all, c, want, crosses, row, rows, &s);
    }
    *sum += total_of(s);
    return PS_OK;
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
        weights_of(&b, c, row, 1);
        aim_along(&b, &last, c, row, NULL, NULL);
        if (!b.strip[0].y && labels_along(&b, c, row, bad) != PS_OK) return PS_BAD_TARGET;
        if (b.strip[0].y && any_lane(both(outside_simplex(&b), b.live))) return *bad = row, PS_BAD_TARGET;
    }
    return PS_OK;
}
