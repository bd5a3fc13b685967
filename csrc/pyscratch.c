/* pyscratch.c: checks the arguments, splits the rows into fixed blocks, calls the kernels of the active instruction set
 * and turns statuses into words. */
#include <math.h>
#include <string.h>
#include "dispatch.h"
#include "floating.h"
#include "head.h"
#include "threads.h"

static const ps_options no_options = {.dispersion = 1, .parameter = 1, .power = 1.5, .integer = 1};

/* ---- heads ---- */

/* Blocks depend on sizes alone, and their sums are added in order: the same bits for any number of threads. */
enum { BLOCK_LOGITS = 8192, WAVE = 64 };
enum { STREAMED_BYTES = 8 << 20 };               /* a gradient of this size is written past the caches, if it is aligned */

static size_t block_rows(size_t width) { return width < BLOCK_LOGITS ? BLOCK_LOGITS / width : 1; }

static void move(const void **p, size_t bytes) { if (*p) *p = (const char *)*p + bytes; }
static void move_out(void **p, size_t bytes) { if (*p) *p = (char *)*p + bytes; }

static ps_call block_of(const ps_call *c, size_t first, size_t rows)
{
    ps_call b = *c;
    size_t real = bytes_of(c->real), outputs = first * c->outputs * real;
    size_t logits = first * (c->z_row ? c->z_row : c->width) * real;
    size_t targets = first * (c->z_row ? c->y_row * real : target_bytes(c));
    b.rows = rows;
    move(&b.z, logits), move(&b.offset, outputs), move(&b.y, targets), move(&b.weights, first * real);
    move_out(&b.nll, first * real), move_out(&b.grad, logits), move_out(&b.params, logits);
    move_out(&b.mean, outputs), move_out(&b.variance, outputs);
    size_t second = logits * (c->flags & PS_BLOCK ? c->width : 1);
    move_out(&b.curvature, second), move_out(&b.fisher, second);
    return b;
}

typedef struct { double sum, base; size_t bad; int status; } Result;
typedef struct {
    const ps_call *call;
    HeadRow row;
    int want;
    size_t first, block;                         /* of this wave */
    Result result[WAVE];
} Wave;

static Result run_rows(const ps_call *b, const HeadRow *row, int want)
{
    Result r = {0, 0, 0, PS_OK};
    if (b->z) r.status = row->head(b, want, &r.sum, &r.bad);
    if (r.status == PS_OK && b->y && b->flags & PS_BASE && row->base) r.status = row->base(b, &r.base, &r.bad);
    return r;
}

static void copy_columns(size_t rows, size_t bytes, void *to, size_t to_row, const void *from, size_t from_row)
{
    for (size_t i = 0; i < rows; i++) copy_row((char *)to + i * to_row, (const char *)from + i * from_row, bytes);
}

/* A number that is no label becomes one that no head takes. */
static void labels_from(const ps_call *b, int64_t *label)
{
    for (size_t i = 0; i < b->rows; i++) {
        double y = real_at(b->real, b->y, i * b->y_row);
        label[i] = fabs(y) < 0x1p53 && y == floor(y) ? (int64_t)y : -1;
    }
}

/* The kernels get a copy of columns; of a single row, which may be longer than a block, the row itself. */
__attribute__((noinline)) static Result run_columns(const ps_call *b, const HeadRow *row, int want)
{
    double z[BLOCK_LOGITS], grad[BLOCK_LOGITS], nll[BLOCK_LOGITS];
    union { double reals[2 * BLOCK_LOGITS]; int64_t labels[BLOCK_LOGITS]; } y;
    size_t real = bytes_of(b->real), own = b->width * real, whole = b->z_row * real;
    ps_call c = *b;
    c.z_row = c.y_row = 0;
    if (b->nll) c.nll = nll;
    if (b->rows > 1) {
        copy_columns(b->rows, own, z, own, b->z, whole);
        copy_columns(b->rows, target_columns(b) * real, y.reals, target_columns(b) * real, b->y, b->y_row * real);
        c.z = z, c.y = y.reals, c.grad = b->grad ? grad : NULL;
    }
    if (b->target_kind == PS_LABELS) labels_from(b, y.labels), c.y = y.labels;
    Result r = run_rows(&c, row, want);
    if (r.status == PS_OK && c.grad != b->grad) copy_columns(b->rows, own, b->grad, whole, grad, own);
    if (r.status == PS_OK && b->nll) add_to(b->real, b->rows, b->nll, nll);
    return r;
}

static Result run(const ps_call *b, const HeadRow *row, int want)
{
    return b->z_row ? run_columns(b, row, want) : run_rows(b, row, want);
}

static void run_block(void *context, size_t index)
{
    Wave *w = context;
    size_t first = w->first + index * w->block, left = w->call->rows - first;
    ps_call b = block_of(w->call, first, left < w->block ? left : w->block);
    w->result[index] = run(&b, &w->row, w->want);
    w->result[index].bad += first;
}

static int wanted(const ps_call *c)
{
    int more = (c->params || c->mean || c->variance ? MEAN : 0) | (c->curvature ? CURVATURE : 0)
             | (c->fisher ? FISHER : 0);
    return more | (c->total || c->nll ? VALUE : 0) | (c->grad ? GRAD : 0);
}

static int add_block(const ps_call *c, const Result *r, double *sum, double *base)
{
    if (r->status != PS_OK && c->bad_row) *c->bad_row = r->bad;
    *sum += r->sum, *base += r->base;
    return r->status;
}

int run_head(const ps_call *c, const HeadRow *row, double *sum, double *base)
{
    size_t block = block_rows(c->width);
    int status = PS_OK;
    if (c->rows <= block) {                      /* no wave for a few rows: it would cost as much as they do */
        Result r = run(c, row, wanted(c));
        return add_block(c, &r, sum, base);
    }
    Wave w = {.call = c, .row = *row, .want = wanted(c), .block = block};
    for (; w.first < c->rows && status == PS_OK; w.first += WAVE * block) {
        size_t left = c->rows - w.first, blocks = (left + block - 1) / block;
        if (blocks > WAVE) blocks = WAVE;
        parallel(blocks, run_block, &w);
        for (size_t i = 0; i < blocks && status == PS_OK; i++) status = add_block(c, &w.result[i], sum, base);
    }
    return status;
}

int bad_head(const ps_call *c, const Table *table)
{
    if (c->family < 0 || c->family >= table->heads || !c->outputs || c->width < c->outputs) return 1;
    if (c->rows > SIZE_MAX / sizeof(double) / 2 / c->width) return 1;
    if (!c->z && !(c->y && c->total)) return 1;
    return !c->y && (c->total || c->nll || c->grad || c->curvature);
}

int run_product(const ps_call *whole, size_t parts, const ps_call *part, const Table *table, double *total,
                size_t *bad_part)
{
    ps_call c = *whole;
    c.z_row = whole->width, c.y_row = 0;
    for (size_t i = 0; i < parts; i++) c.y_row += target_columns(&part[i]);
    if (c.nll) memset(c.nll, 0, c.rows * bytes_of(c.real));
    for (size_t i = 0; i < parts; i++) {
        double sum = 0, base = 0;
        c.family = part[i].family, c.options = part[i].options, c.target_kind = part[i].target_kind;
        c.outputs = part[i].outputs, c.width = part[i].width;
        int status = run_head(&c, &table->head[c.family], &sum, &base);
        if (status != PS_OK && bad_part) *bad_part = i;
        if (status != PS_OK) return status;
        *total += sum + base;
        move(&c.z, c.width * bytes_of(c.real)), move_out(&c.grad, c.width * bytes_of(c.real));
        move(&c.y, target_columns(&c) * bytes_of(c.real));
    }
    return PS_OK;
}

int bad_product(const ps_call *whole, size_t parts, const ps_call *part, const Table *table)
{
    size_t width = 0;
    if (!parts || !part || !whole->z || !whole->y || whole->offset || wanted(whole) & MORE) return 1;
    for (size_t i = 0; i < parts; width += part[i++].width) {
        ps_call c = *whole;
        c.family = part[i].family, c.outputs = part[i].outputs, c.width = part[i].width;
        if (bad_head(&c, table) || !part[i].options) return 1;
        int kind = part[i].target_kind;
        if (kind != PS_REALS && kind != PS_LABELS && kind != PS_PAIRS) return 1;
    }
    return width != whole->width;
}

int ps_product(const ps_call *whole, size_t parts, const ps_call *part, size_t *bad_part)
{
    if (!whole || (whole->real != PS_F32 && whole->real != PS_F64)) return PS_BAD_CALL;
    const Table *table = active_table(whole->real);
    if (bad_product(whole, parts, part, table)) return PS_BAD_CALL;
    double total = 0, weight = (double)whole->rows;
    Control saved = enter_floating();
    int status = PS_OK;
    if (whole->weights) status = ps_weights(whole->real, whole->rows, whole->weights, &weight, whole->bad_row);
    if (status == PS_OK) status = run_product(whole, parts, part, table, &total, bad_part);
    leave_floating(saved);
    if (status == PS_OK && whole->total) whole->total[0] = total, whole->total[1] = weight;
    return status;
}

int ps_head_call(const ps_call *call)
{
    if (!call || call->z_row || call->y_row || (call->real != PS_F32 && call->real != PS_F64)) return PS_BAD_CALL;
    if (call->target_kind < PS_REALS || call->target_kind > PS_PAIRS) return PS_BAD_CALL;
    const Table *table = active_table(call->real);
    if (bad_head(call, table)) return PS_BAD_CALL;
    ps_call c = *call;
    if (!c.options) c.options = &no_options;
    if (c.rows * c.width >= STREAMED_BYTES / bytes_of(c.real)) c.flags |= PS_STREAM;
    double sum = 0, base = 0, weight = (double)c.rows;
    Control saved = enter_floating();
    int status = c.weights && c.total ? ps_weights(c.real, c.rows, c.weights, &weight, c.bad_row) : PS_OK;
    if (status == PS_OK) status = run_head(&c, &table->head[c.family], &sum, &base);
    leave_floating(saved);
    if (status == PS_OK && c.total) c.total[0] = sum + base, c.total[1] = weight;
    return status;
}

int ps_head(int family, const ps_options *options, int real, size_t rows, size_t outputs, size_t width,
            const void *z, const void *offset, int target_kind, const void *y, const void *weights, double scale,
            int flags, double *total, void *nll, void *grad, void *params, void *mean, void *variance,
            void *curvature, void *fisher, size_t *bad_row)
{
    return ps_head_call(&(ps_call){family, real, target_kind, flags, options, rows, outputs, width, z, offset, y, weights,
                                   scale, total, nll, grad, params, mean, variance, curvature, fisher, bad_row, 0, 0});
}

/* ---- checks of plain arrays ---- */

int ps_weights(int real, size_t rows, const void *weights, double *sum, size_t *bad_row)
{
    if ((real != PS_F32 && real != PS_F64) || (rows && !weights) || !sum) return PS_BAD_CALL;
    double total = 0;
    for (size_t i = 0; i < rows; i++) {
        double w = real_at(real, weights, i);
        if (!(w >= 0) || isinf(w)) {
            if (bad_row) *bad_row = i;
            return PS_BAD_WEIGHT;
        }
        total += w;
    }
    *sum = total;
    return PS_OK;
}

int ps_finite(int real, size_t count, const void *x, size_t *bad_index)
{
    if ((real != PS_F32 && real != PS_F64) || (count && !x)) return PS_BAD_CALL;
    for (size_t i = 0; i < count; i++) {
        if (isfinite(real_at(real, x, i))) continue;
        if (bad_index) *bad_index = i;
        return PS_BAD_CALL;
    }
    return PS_OK;
}

/* ---- Dense, activations, optimizers ---- */

static int bad_real(int real) { return real != PS_F32 && real != PS_F64; }
static int bad_activation(int activation) { return activation < 0 || activation >= PS_ACTIVATIONS; }
static int overflows(size_t a, size_t b) { return b && a > SIZE_MAX / sizeof(double) / 4 / b; }
static int bad_shape(int real, int activation, size_t rows, size_t n_in, size_t n_out)
{
    return bad_real(real) || bad_activation(activation) || activation >= PS_GELU || overflows(rows, n_in)
        || overflows(rows, n_out) || overflows(n_in, n_out);
}

size_t ps_dense_workspace(int real, size_t rows, size_t n_in, size_t n_out)
{
    return bad_shape(real, PS_IDENTITY, rows, n_in, n_out) ? 0 : active_table(real)->dense_workspace(rows, n_in, n_out);
}

int ps_dense_forward(int real, size_t rows, size_t n_in, size_t n_out, int activation,
                     const void *x, const void *W, const void *b, void *y, void *workspace)
{
    if (bad_shape(real, activation, rows, n_in, n_out)) return PS_BAD_CALL;
    const Table *table = active_table(real);
    if (rows && n_out && (!y || (n_in && (!x || !W)))) return PS_BAD_CALL;
    if (!workspace && table->dense_workspace(rows, n_in, n_out)) return PS_BAD_CALL;
    Control saved = enter_floating();
    table->dense_forward(rows, n_in, n_out, activation, x, W, b, y, workspace);
    leave_floating(saved);
    return PS_OK;
}

int ps_dense_backward(int real, size_t rows, size_t n_in, size_t n_out, int activation, const void *x, const void *W,
                      const void *y, const void *grad, void *dx, void *dW, void *db, void *workspace)
{
    if (bad_shape(real, activation, rows, n_in, n_out)) return PS_BAD_CALL;
    const Table *table = active_table(real);
    size_t in = rows * n_in, out = rows * n_out;
    if ((out && !grad) || (dW && in && !x) || (dx && in && n_out && !W)) return PS_BAD_CALL;
    if ((activation != PS_IDENTITY && out && !y)) return PS_BAD_CALL;
    if (!workspace && table->dense_workspace(rows, n_in, n_out)) return PS_BAD_CALL;
    Control saved = enter_floating();
    table->dense_backward(rows, n_in, n_out, activation, x, W, y, grad, dx, dW, db, workspace);
    leave_floating(saved);
    return PS_OK;
}

int ps_activation_forward(int real, int activation, size_t count, const void *x, void *y)
{
    if (bad_real(real) || bad_activation(activation) || (count && (!x || !y))) return PS_BAD_CALL;
    Control saved = enter_floating();
    active_table(real)->activation_forward(activation, count, x, y);
    leave_floating(saved);
    return PS_OK;
}

int ps_activation_backward(int real, int activation, size_t count, const void *y, const void *grad, void *dx)
{
    if (bad_real(real) || bad_activation(activation) || (count && (!y || !grad || !dx))) return PS_BAD_CALL;
    Control saved = enter_floating();
    active_table(real)->activation_backward(activation, count, y, grad, dx);
    leave_floating(saved);
    return PS_OK;
}

int ps_layer_norm_forward(int real, size_t rows, size_t width, double epsilon, const void *x, const void *scale,
                          const void *shift, void *y)
{
    if (bad_real(real) || overflows(rows, width)) return PS_BAD_CALL;
    if (rows && width && (!x || !scale || !shift || !y)) return PS_BAD_CALL;
    Control saved = enter_floating();
    active_table(real)->layer_norm_forward(rows, width, epsilon, x, scale, shift, y);
    leave_floating(saved);
    return PS_OK;
}

int ps_layer_norm_backward(int real, size_t rows, size_t width, double epsilon, const void *x, const void *scale,
                           const void *grad, void *dx, void *dscale, void *dshift)
{
    if (bad_real(real) || overflows(rows, width)) return PS_BAD_CALL;
    if (rows && width && (!x || !scale || !grad)) return PS_BAD_CALL;
    Control saved = enter_floating();
    active_table(real)->layer_norm_backward(rows, width, epsilon, x, scale, grad, dx, dscale, dshift);
    leave_floating(saved);
    return PS_OK;
}

int ps_sgd(int real, size_t count, void *value, const void *grad, void *velocity, double rate, double momentum,
           int nesterov)
{
    if (bad_real(real) || (count && (!value || !grad))) return PS_BAD_CALL;
    Control saved = enter_floating();
    active_table(real)->sgd(count, value, grad, velocity, rate, momentum, nesterov);
    leave_floating(saved);
    return PS_OK;
}

int ps_adam(int real, size_t count, void *value, const void *grad, void *m, void *v, double rate, double beta1,
            double beta2, double epsilon, double correction1, double correction2)
{
    if (bad_real(real) || (count && (!value || !grad || !m || !v))) return PS_BAD_CALL;
    Control saved = enter_floating();
    active_table(real)->adam(count, value, grad, m, v, rate, beta1, beta2, epsilon, correction1, correction2);
    leave_floating(saved);
    return PS_OK;
}

/* ---- mathematical functions ---- */

int ps_function(int function, int real, size_t count, const void *a, const void *b, void *y)
{
    if (bad_real(real) || !ps_function_name(function) || (count && (!a || !y))) return PS_BAD_CALL;
    Control saved = enter_floating();
    active_table(real)->map(function, count, a, b, y);
    leave_floating(saved);
    return PS_OK;
}

const char *ps_function_name(int function)
{
    const Table *table = active_table(PS_F64);
    return function < 0 || function >= table->functions ? NULL : table->function[function].name;
}

int ps_function_bound(int function, double *ulp, double *floor)
{
    if (!ps_function_name(function) || !ulp || !floor) return PS_BAD_CALL;
    const FunctionRow *row = &active_table(PS_F64)->function[function];
    *ulp = row->ulp, *floor = row->floor;
    return PS_OK;
}

/* The norm is summed in double, four chains that do not wait for each other: the same bits on every instruction set. */
static double squared_norm(int real, size_t count, const void *x)
{
    double sum[4] = {0, 0, 0, 0};
    for (size_t i = 0; i < count; i++) {
        double each = real_at(real, x, i);
        sum[i % 4] += each * each;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

void scale_by(int real, size_t count, void *x, double factor)
{
    if (real == PS_F32) for (size_t i = 0; i < count; i++) ((float *)x)[i] *= (float)factor;
    else for (size_t i = 0; i < count; i++) ((double *)x)[i] *= factor;
}

int ps_clip(int real, size_t count, void *grad, double most)
{
    if (bad_real(real) || (count && !grad) || !(most > 0)) return PS_BAD_CALL;
    Control saved = enter_floating();
    double norm = sqrt(squared_norm(real, count, grad));
    if (norm > most) scale_by(real, count, grad, most / norm);
    leave_floating(saved);
    return PS_OK;
}

/* ---- names ---- */

int ps_families(void) { return active_table(PS_F64)->heads; }

const char *ps_family_name(int family)
{
    return family < 0 || family >= ps_families() ? NULL : active_table(PS_F64)->head[family].name;
}

int ps_family(const char *name)
{
    for (int i = 0; name && i < ps_families(); i++) if (!strcmp(name, ps_family_name(i))) return i;
    return -1;
}

const char *ps_message(int status)
{
    static const char *const words[PS_STATUSES] = {
        [PS_OK] = "ok",
        [PS_BAD_CALL] = "the arguments do not fit together (sizes, missing arrays or an unknown code)",
        [PS_BAD_TARGET] = "y is outside the support of the family",
        [PS_BAD_LOGIT] = "a logit is outside the domain of the link",
        [PS_BAD_WEIGHT] = "weights must be finite and not negative",
        [PS_UNKNOWN_ISA] = "unknown instruction set",
        [PS_ISA_NOT_HERE] = "this machine does not run that instruction set",
        [PS_NO_THREADS] = "threads could not be started",
        [PS_NOT_FINITE] = "the loss of a batch is not finite",
    };
    return status >= 0 && status < PS_STATUSES ? words[status] : "unknown status";
}
