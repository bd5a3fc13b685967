/* network.c: whole epochs of training, and prediction. A plan says what the network, its rows and its optimizer are;
 * batch after batch is gathered, goes forward, through the head and back, and moves the weights, all in one arena that
 * the caller owns. The kernels are those of the single calls, with the same arguments in the same order: the same bits.
 */
#include <math.h>
#include <string.h>
#include <time.h>
#include "dispatch.h"
#include "floating.h"
#include "head.h"

/* ---- the arena ---- */

typedef struct {
    const Table *table;
    size_t real, offset_columns;
    char *x, *y, *weights, *offset;              /* of a batch */
    char *outputs;                               /* of every stage, one after the other */
    char *grad[2];                               /* of the outputs of a stage, and of its inputs */
    char *workspace;
    size_t bytes;
} Arena;

enum { LINE = 64 };                              /* bytes of a cache line: every buffer begins one */

static size_t lines(size_t bytes) { return (bytes + LINE - 1) / LINE * LINE; }
static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static size_t output_bytes(const ps_plan *p, const ps_stage *s)
{
    return lines(p->batch * s->n_out * bytes_of(p->real));
}

/* Of one row of y. */
static size_t y_bytes(const ps_plan *p)
{
    size_t columns = 0;
    for (size_t i = 0; i < p->parts; i++) columns += target_columns(&p->part[i]);
    return p->parts ? columns * bytes_of(p->real) : target_bytes(&p->head);
}

static char *take(char **at, size_t bytes)
{
    char *here = *at;
    *at += lines(bytes);
    return here;
}

typedef struct { size_t widest, outputs, workspace; } Sizes;

static Sizes sizes_of(const ps_plan *p, const Table *table)
{
    Sizes sizes = {0, 0, 0};
    for (const ps_stage *s = p->stage; s < p->stage + p->stages; s++) {
        size_t space = s->kind == PS_DENSE ? table->dense_workspace(p->batch, s->n_in, s->n_out) : 0;
        sizes.workspace = larger(sizes.workspace, space);
        sizes.widest = larger(sizes.widest, output_bytes(p, s));
        sizes.outputs += output_bytes(p, s);
    }
    return sizes;
}

/* What a prediction needs: outputs of a stage and of the next go into grad[0] and grad[1] in turn. */
static Arena small_arena(const ps_plan *p, char *start)
{
    Arena a = {.table = active_table(p->real), .real = bytes_of(p->real)};
    Sizes sizes = sizes_of(p, a.table);
    char *at = (char *)lines((size_t)start);
    a.grad[0] = take(&at, sizes.widest);
    a.grad[1] = take(&at, sizes.widest);
    a.workspace = take(&at, sizes.workspace);
    a.bytes = (size_t)(at - start);
    return a;
}

static Arena whole_arena(const ps_plan *p, char *start)
{
    Arena a = small_arena(p, start);
    char *at = start + a.bytes;
    a.offset_columns = p->offset_everywhere ? p->head.width : p->head.outputs;
    a.x = take(&at, p->batch * p->n_in * a.real);
    a.y = take(&at, p->batch * y_bytes(p));
    a.weights = take(&at, p->head.weights ? p->batch * a.real : 0);
    a.offset = take(&at, p->head.offset ? p->batch * a.offset_columns * a.real : 0);
    a.outputs = take(&at, sizes_of(p, a.table).outputs);
    a.bytes = (size_t)(at - start);
    return a;
}

/* ---- checks, once per call ---- */

static int too_many(size_t rows, size_t columns)
{
    return columns && rows > SIZE_MAX / sizeof(double) / 16 / columns;
}

static int bad_stage(const ps_plan *p, const ps_stage *s, size_t n_in)
{
    if (s->n_in != n_in || !s->n_out || too_many(p->batch, s->n_out) || too_many(s->n_in, s->n_out)) return 1;
    if (s->activation < 0 || s->activation >= PS_ACTIVATIONS) return 1;
    if (s->kind == PS_ACTIVATION) return s->n_out != n_in;
    if (s->kind == PS_DROPOUT) return s->n_out != n_in || !(s->rate >= 0 && s->rate < 1);
    if (s->kind == PS_THRESHOLDS) return n_in != 1 || !s->W || (s->n_out > 1 && !s->b);
    if (s->kind == PS_LAYER_NORM) return s->n_out != n_in || !s->W || !s->b;
    return s->kind != PS_DENSE || !s->W || s->activation >= PS_GELU;
}

static int bad_body(const ps_plan *p)
{
    if ((p->real != PS_F32 && p->real != PS_F64) || !p->stages || !p->stage || !p->batch || !p->n_in) return 1;
    if (too_many(p->batch, p->n_in) || p->head.real != p->real) return 1;
    size_t width = p->n_in;
    for (const ps_stage *s = p->stage; s < p->stage + p->stages; width = s++->n_out)
        if (bad_stage(p, s, width)) return 1;
    return p->head.width != width || p->head.outputs > width;
}

static int bad_rows(const ps_plan *p)
{
    const Table *table = active_table(p->real);
    ps_call c = p->head;
    double total[2];
    c.z = p->X, c.total = total, c.rows = p->batch;
    if (!p->X || !p->order || c.z_row || c.y_row) return 1;
    if (p->offset_everywhere) c.offset = NULL;
    if (p->parts) return bad_product(&c, p->parts, p->part, table);
    if (c.target_kind < PS_REALS || c.target_kind > PS_PAIRS || !c.options) return 1;
    return bad_head(&c, table);
}

static int bad_optimizer(const ps_plan *p)
{
    for (const ps_stage *s = p->stage; s < p->stage + p->stages; s++)
        if (s->kind == PS_THRESHOLDS ? !s->dW || (s->n_out > 1 && !s->db)
                                     : (s->kind == PS_DENSE || s->kind == PS_LAYER_NORM) && !s->dW) return 1;
    for (size_t i = 0; i < p->decayed_parts; i++)
        if (p->decayed[2 * i] > p->parameters || p->decayed[2 * i + 1] > p->parameters - p->decayed[2 * i]) return 1;
    if (p->optimizer < 0 || p->optimizer >= PS_OPTIMIZERS || !p->values || !p->gradients || !p->rates) return 1;
    return p->optimizer == PS_ADAM && (!p->slot[0] || !p->slot[1]);
}

size_t ps_arena(const ps_plan *p) { return !p || bad_body(p) ? 0 : whole_arena(p, (char *)LINE).bytes + LINE; }

size_t ps_predict_arena(const ps_plan *p) { return !p || bad_body(p) ? 0 : small_arena(p, (char *)LINE).bytes + LINE; }

/* ---- a batch ---- */

static int out_of_range(const ps_plan *p, const int64_t *order, size_t count)
{
    int bad = 0;
    for (size_t i = 0; i < count; i++) bad |= (uint64_t)order[i] >= p->rows;
    return bad;
}

static void take_words(const void *from, const int64_t *order, size_t count, void *to)
{
    for (size_t i = 0; i < count; i++)
        memcpy((char *)to + i * sizeof(float), (const char *)from + (size_t)order[i] * sizeof(float), sizeof(float));
}

/* Rows of `bytes` in the given order. They lie anywhere in memory, so each is asked for some rows ahead. */
static const void *gathered(const void *from_, size_t bytes, const int64_t *order, size_t count, char *to)
{
    enum { AHEAD = 8 };
    const char *from = from_;
    if (!from) return NULL;
    if (bytes == sizeof(float)) return take_words(from_, order, count, to), to;
    for (size_t i = 0; i < count; i++) {
        const char *next = from + (size_t)order[i + AHEAD < count ? i + AHEAD : count - 1] * bytes;
        for (size_t k = 0; k < bytes && k < 4 * LINE; k += LINE) __builtin_prefetch(next + k);
        copy_row(to + i * bytes, from + (size_t)order[i] * bytes, bytes);
    }
    return to;
}

static void pass(const ps_plan *p, const ps_stage *s, const Arena *a, size_t count, const void *x, void *y)
{
    const Table *t = a->table;
    switch (s->kind) {
    case PS_DENSE: t->dense_forward(count, s->n_in, s->n_out, s->activation, x, s->W, s->b, y, a->workspace); break;
    case PS_LAYER_NORM: t->layer_norm_forward(count, s->n_in, s->epsilon, x, s->W, s->b, y); break;
    case PS_DROPOUT: ps_dropout(p->real, count, s->n_in, s->rate, s->seed, s->place, p->steps, x, y); break;
    case PS_THRESHOLDS: ps_thresholds_forward(p->real, count, s->n_out, x, s->W, s->b, y); break;
    default: t->activation_forward(s->activation, count * s->n_out, x, y);
    }
}

/* dx is NULL for the first stage: the features need no gradient. */
static void pass_back(const ps_plan *p, const ps_stage *s, const Arena *a, size_t count, const void *x, const void *y,
                      const void *g, void *dx)
{
    const Table *t = a->table;
    switch (s->kind) {
    case PS_DENSE:
        t->dense_backward(count, s->n_in, s->n_out, s->activation, x, s->W, y, g, dx, s->dW, s->db, a->workspace);
        break;
    case PS_LAYER_NORM: t->layer_norm_backward(count, s->n_in, s->epsilon, x, s->W, g, dx, s->dW, s->db); break;
    case PS_THRESHOLDS: ps_thresholds_backward(p->real, count, s->n_out, s->b, g, dx, s->dW, s->db); break;
    case PS_DROPOUT:
        if (dx) ps_dropout(p->real, count, s->n_in, s->rate, s->seed, s->place, p->steps, g, dx);
        break;
    default:
        if (dx) t->activation_backward(s->activation, count * s->n_out, s->activation < PS_GELU ? y : x, g, dx);
    }
}

/* Returns the logits, the outputs of the last stage. */
static char *forward(const ps_plan *p, const Arena *a, const void *x, size_t count)
{
    char *y = a->outputs;
    for (const ps_stage *s = p->stage; s < p->stage + p->stages; x = y, y += output_bytes(p, s++))
        pass(p, s, a, count, x, y);
    return y - output_bytes(p, p->stage + p->stages - 1);
}

/* From the gradient of the logits in grad[0]; z are the outputs of the last stage. */
static void backward(const ps_plan *p, const Arena *a, const char *x, const char *z, size_t count)
{
    char *g = a->grad[0], *dx = a->grad[1];
    for (size_t i = p->stages; i--;) {
        const ps_stage *s = p->stage + i;
        const char *y = z, *in = i ? (z -= output_bytes(p, s - 1)) : x;
        pass_back(p, s, a, count, in, y, g, i ? dx : NULL);
        char *done = g;
        g = dx, dx = done;
    }
}

/* Value of the head and, in grad[0], its gradient. */
static int loss(const ps_plan *p, const Arena *a, const int64_t *order, size_t count, char *z, double *value)
{
    double total[2], base = 0;                   /* total: it is wanted, the kernels add to *value */
    const Table *table = a->table;
    ps_call c = p->head;
    c.rows = count, c.z = z, c.grad = a->grad[0], c.total = total, c.flags = 0, c.bad_row = NULL;
    c.scale = 1.0 / ((double)count * p->mean_weight);
    c.y = gathered(c.y, y_bytes(p), order, count, a->y);
    c.weights = gathered(c.weights, a->real, order, count, a->weights);
    c.offset = gathered(c.offset, a->offset_columns * a->real, order, count, a->offset);
    if (c.offset && p->offset_everywhere) add_to(p->real, count * c.width, z, c.offset), c.offset = NULL;
    int status = p->parts ? run_product(&c, p->parts, p->part, table, value, NULL)
                          : run_head(&c, &table->head[c.family], value, &base);
    return status != PS_OK || isfinite(*value) ? status : PS_NOT_FINITE;
}

static void decay(const ps_plan *p, const Arena *a, double rate)
{
    for (size_t i = 0; p->decay > 0 && i < p->decayed_parts; i++) {
        size_t first = p->decayed[2 * i], count = p->decayed[2 * i + 1];
        scale_by(p->real, count, (char *)p->values + first * a->real, 1.0 - rate * p->decay);
    }
}

static void update(ps_plan *p, const Arena *a, double rate)
{
    double step = (double)++p->steps;
    if (p->clip > 0) ps_clip(p->real, p->parameters, p->gradients, p->clip);
    decay(p, a, rate);
    if (p->optimizer == PS_SGD)
        a->table->sgd(p->parameters, p->values, p->gradients, p->slot[0], rate, p->momentum, p->nesterov);
    else
        a->table->adam(p->parameters, p->values, p->gradients, p->slot[0], p->slot[1], rate, p->beta1, p->beta2,
                       p->epsilon, 1.0 - pow(p->beta1, step), 1.0 - pow(p->beta2, step));
}

static int take_step(ps_plan *p, const Arena *a, size_t batch)
{
    const int64_t *order = p->order + batch * p->batch;
    size_t left = p->used - batch * p->batch, count = left < p->batch ? left : p->batch;
    double value = 0;
    if (out_of_range(p, order, count)) return PS_BAD_CALL;
    const char *x = gathered(p->X, p->n_in * a->real, order, count, a->x);
    char *z = forward(p, a, x, count);
    int status = loss(p, a, order, count, z, &value);
    if (status != PS_OK) return status;
    backward(p, a, x, z, count);
    update(p, a, p->rates[batch]);
    p->total += value;
    return PS_OK;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int ps_epoch(ps_plan *p, size_t *next, double seconds)
{
    if (!p || !next || bad_body(p) || bad_rows(p) || bad_optimizer(p)) return PS_BAD_CALL;
    Arena a = whole_arena(p, p->arena);
    if (!p->arena || a.bytes > p->arena_bytes) return PS_BAD_CALL;
    Control saved = enter_floating();
    double end = now() + seconds;
    int status = PS_OK;
    while (*next * p->batch < p->used) {
        status = take_step(p, &a, *next);
        if (status != PS_OK) break;
        ++*next;
        if (now() >= end) break;
    }
    leave_floating(saved);
    return status;
}

/* ---- prediction ---- */

/* z is where the last stage writes; the others take turns with two buffers. */
static void pass_through(const ps_plan *p, const Arena *a, size_t count, const void *x, void *z)
{
    for (size_t i = 0; i < p->stages; i++) {
        void *y = i + 1 == p->stages ? z : a->grad[i % 2];
        pass(p, p->stage + i, a, count, x, y);
        x = y;
    }
}

static int say(const ps_plan *p, const Arena *a, size_t rows, const void *z)
{
    double sum = 0, base = 0;
    ps_call c = p->head;
    if (!c.params && !c.mean && !c.variance && !c.fisher) return PS_OK;
    c.z = z, c.rows = rows, c.y = NULL, c.total = NULL, c.nll = c.grad = c.curvature = NULL;
    if (c.family < 0 || c.family >= a->table->heads || !c.options) return PS_BAD_CALL;
    return run_head(&c, &a->table->head[c.family], &sum, &base);
}

int ps_predict(const ps_plan *p, size_t rows, const void *x, void *z)
{
    if (!p || bad_body(p) || too_many(rows, p->n_in) || too_many(rows, p->head.width)) return PS_BAD_CALL;
    if (!p->arena || (rows && (!x || !z))) return PS_BAD_CALL;
    Arena a = small_arena(p, p->arena);
    if (a.bytes > p->arena_bytes) return PS_BAD_CALL;
    Control saved = enter_floating();
    for (size_t first = 0; first < rows; first += p->batch)
        pass_through(p, &a, rows - first < p->batch ? rows - first : p->batch,
                     (const char *)x + first * p->n_in * a.real, (char *)z + first * p->head.width * a.real);
    int status = say(p, &a, rows, z);
    leave_floating(saved);
    return status;
}
