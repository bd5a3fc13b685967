/* pyscratch.h: the public C interface.
 *
 * cffi reads the part between the two marks, the compiler reads the whole file, so nothing is declared twice.
 * Conventions: what, sizes, inputs, outputs. Arrays are C-contiguous, aligned to their element, native byte order,
 * and of one real type per call (PS_F32 or PS_F64). An output passed as NULL is not wanted and not computed.
 * Every function returns a status (PS_OK or the reason); nothing is allocated, printed or kept between calls. */
#ifndef PYSCRATCH_H
#define PYSCRATCH_H
#include <stddef.h>
#include <stdint.h>

/* cdef: begin */
enum { PS_F32 = 0, PS_F64 = 1 };                                            /* real */
enum { PS_REALS = 0, PS_LABELS = 1, PS_ROWS = 2, PS_PAIRS = 3 };            /* target_kind */
enum { PS_SOFTPLUS = 0, PS_EXP = 1, PS_SQUAREPLUS = 2, PS_LOGVAR = 3 };    /* scale_link */
enum { PS_BASE = 1, PS_BLOCK = 2 };                                         /* flags */
enum { PS_IDENTITY = 0, PS_TANH = 1, PS_RELU = 2, PS_SIGMOID = 3,           /* activation: these fuse with a Dense */
       PS_GELU = 4, PS_SILU = 5, PS_ACTIVATIONS = 6 };
enum { PS_OK = 0, PS_BAD_CALL = 1, PS_BAD_TARGET = 2, PS_BAD_LOGIT = 3, PS_BAD_WEIGHT = 4, PS_UNKNOWN_ISA = 5,
       PS_ISA_NOT_HERE = 6, PS_NO_THREADS = 7, PS_NOT_FINITE = 8, PS_STATUSES = 9 };   /* status */
enum { PS_DENSE = 0, PS_ACTIVATION = 1, PS_LAYER_NORM = 2, PS_DROPOUT = 3,     /* kind of a stage */
       PS_THRESHOLDS = 4 };
enum { PS_SGD = 0, PS_ADAM = 1, PS_OPTIMIZERS = 2 };                        /* optimizer */

/* What belongs to a frozen loss, built once per object. A member that a family does not use is ignored. */
typedef struct {
    double dispersion;           /* 1 unless the family fixes it: Gaussian variance, Tweedie dispersion               */
    double parameter;            /* fixed shape, concentration or df of a family that has one                         */
    double power;                /* Tweedie power                                                                     */
    double min_scale;            /* added to every predicted scale                                                    */
    double smoothing;            /* label smoothing: (1 - e) of the mass on the label, e/K on every class (K = 2: y)  */
    const double *class_weights; /* K doubles, or NULL                                                                */
    size_t components;           /* of a mixture                                                                      */
    int integer;                 /* counts must be whole numbers                                                      */
    int scale_link;              /* of predicted scales, shapes and concentrations                                    */
} ps_options;

/* One call of a head; ps_head takes the same things as plain arguments. A bound loss fills it once. */
typedef struct {
    int family, real, target_kind, flags;
    const ps_options *options;
    size_t rows, outputs, width;      /* width: logits per row                                                        */
    const void *z;                    /* (rows, width) logits                                                         */
    const void *offset;               /* (rows, outputs) added to the first block of logits, or NULL                  */
    const void *y;                    /* REALS (rows, outputs), LABELS int64 (rows), ROWS (rows, width), PAIRS (rows, 2 outputs) */
    const void *weights;              /* (rows) finite and >= 0, or NULL; a row of weight 0 is not read               */
    double scale;                     /* multiplies grad                                                              */
    double *total;                    /* 2 doubles: sum of w nll, sum of w                                            */
    void *nll;                        /* (rows) w nll                                                                 */
    void *grad;                       /* (rows, width) scale w dnll/dz                                                */
    void *params;                     /* (rows, width) the link: parameters in the layout of the logits               */
    void *mean, *variance;            /* (rows, outputs); a head whose parameters are its mean (Categorical) has params */
    void *curvature, *fisher;         /* (rows, width) diagonal of w d2nll/dz2, of its expectation; (rows, width, width)
                                       * with PS_BLOCK, which heads of K logits per row do not know                   */
    size_t *bad_row;                  /* smallest offending row when the status says so                               */
    size_t z_row, y_row;              /* 0; set by ps_product: reals per row of the arrays whose columns z, grad and y are */
} ps_call;

/* nll includes the terms in y alone (log y!, log 2 pi / 2) only under PS_BASE. With z NULL only those terms are summed.
 * total is accumulated as two sums, terms with z and terms in y alone, and added last: a bound loss that keeps the
 * second sum returns the same bits as a call that computes both. */
int ps_head(int family, const ps_options *options, int real, size_t rows, size_t outputs, size_t width,
            const void *z, const void *offset, int target_kind, const void *y, const void *weights, double scale,
            int flags, double *total, void *nll, void *grad, void *params, void *mean, void *variance,
            void *curvature, void *fisher, size_t *bad_row);
int ps_head_call(const ps_call *call);
/* Several heads side by side, each with its own columns of z, grad and y, in order; a label is one of the reals of y.
 * family, options, outputs, width and target_kind are theirs, all else is that of the whole, which has no offset and
 * no outputs but total, nll and grad. A bad row is the first one of *bad_part, the first head that has any. */
int ps_product(const ps_call *whole, size_t parts, const ps_call *part, size_t *bad_part);
int ps_weights(int real, size_t rows, const void *weights, double *sum, size_t *bad_row);   /* checks and adds */
int ps_finite(int real, size_t count, const void *x, size_t *bad_index);   /* PS_BAD_CALL at the first NaN or infinity */

/* Dense: y = activation(x W + b).  x (rows, n_in), W (n_in, n_out), b (n_out) or NULL, y (rows, n_out). */
size_t ps_dense_workspace(int real, size_t rows, size_t n_in, size_t n_out);   /* bytes that either direction needs */
int ps_dense_forward(int real, size_t rows, size_t n_in, size_t n_out, int activation,
                     const void *x, const void *W, const void *b, void *y, void *workspace);
/* grad (rows, n_out) is d loss / d y; dx (rows, n_in), dW (n_in, n_out), db (n_out), each may be NULL; y is what the
 * forward pass returned, needed unless the activation is the identity. */
int ps_dense_backward(int real, size_t rows, size_t n_in, size_t n_out, int activation, const void *x, const void *W,
                      const void *y, const void *grad, void *dx, void *dW, void *db, void *workspace);
int ps_activation_forward(int real, int activation, size_t count, const void *x, void *y);
/* From the output y; from PS_GELU on the input x stands in its place. */
int ps_activation_backward(int real, int activation, size_t count, const void *y, const void *grad, void *dx);

/* Layer normalisation: y = scale (x - mean) / sqrt(variance + epsilon) + shift, mean and variance of each row of x
 * (rows, width); scale and shift (width). Backward: dx, dscale and dshift, each may be NULL. */
int ps_layer_norm_forward(int real, size_t rows, size_t width, double epsilon, const void *x, const void *scale,
                          const void *shift, void *y);
int ps_layer_norm_backward(int real, size_t rows, size_t width, double epsilon, const void *x, const void *scale,
                           const void *grad, void *dx, void *dscale, void *dshift);

/* Dropout: y = x / (1 - rate) where the word of (column, row) is at least rate 2^32, else 0; the backward pass is the
 * same on the gradient. The words are those of Philox4x32-10 with the key `seed`; the counter (column / 4, row, step,
 * place), place being the number of the layer, gives those of four columns. */
int ps_dropout(int real, size_t rows, size_t width, double rate, uint64_t seed, uint32_t place, int64_t step,
               const void *x, void *y);

/* The logits y = c - x (rows, width) of ordered classes: c_0 = first, then steps of log(1 + exp(gap)), width - 1 gaps.
 * Backward: dx (rows), which may be NULL, dfirst and dgaps. */
int ps_thresholds_forward(int real, size_t rows, size_t width, const void *x, const void *first, const void *gaps,
                          void *y);
int ps_thresholds_backward(int real, size_t rows, size_t width, const void *gaps, const void *grad, void *dx,
                           void *dfirst, void *dgaps);

/* Optimizer steps on flat arrays, in place. */
int ps_sgd(int real, size_t count, void *value, const void *grad, void *velocity, double rate, double momentum,
           int nesterov);
int ps_adam(int real, size_t count, void *value, const void *grad, void *m, void *v, double rate, double beta1,
            double beta2, double epsilon, double correction1, double correction2);
/* Scales grad so that its Euclidean norm is at most `most`; a norm that is NaN changes nothing. */
int ps_clip(int real, size_t count, void *grad, double most);

/* The mathematical functions that the kernels are made of, y[i] = f(a[i], b[i]) (b NULL: one argument), for tests: name
 * (NULL past the end) and the bound on the error, in ulp of max(|y|, floor). */
int ps_function(int function, int real, size_t count, const void *a, const void *b, void *y);
const char *ps_function_name(int function);
int ps_function_bound(int function, double *ulp, double *floor);

/* A Dense with the activation that follows it, or one of the others alone: n_out = n_in, and a layer normalisation has
 * scale and shift as W and b, thresholds first and gaps. */
typedef struct {
    int kind, activation;
    size_t n_in, n_out;
    const void *W, *b;                /* inside the plan's values */
    void *dW, *db;                    /* inside its gradients */
    double epsilon;                   /* of a layer normalisation */
    double rate;                      /* of dropout */
    uint64_t seed;
    uint32_t place;
} ps_stage;

/* A network with its training rows and its optimizer. Everything belongs to the caller; ps_epoch changes values,
 * gradients, slots, steps and total, and works in the arena. */
typedef struct {
    int real, optimizer;
    size_t stages, rows, n_in, batch, used, parameters, arena_bytes;
    const ps_stage *stage;
    const void *X;                    /* (rows, n_in) */
    const int64_t *order;             /* (used) the rows of this epoch; every `batch` of them are one step */
    ps_call head;                     /* family, options, outputs, width, target_kind; y, weights, offset of all rows */
    int offset_everywhere;            /* offset is (rows, width), added to all logits before the head */
    const ps_call *part;              /* several heads side by side, as in ps_product; head is then the whole */
    size_t parts;
    double mean_weight;               /* the gradient of a batch is sum of w g / (rows in it * mean_weight) */
    void *values, *gradients;         /* (parameters) */
    void *slot[2];                    /* (parameters) velocity, or NULL; m and v of Adam */
    const double *rates;              /* learning rate of each batch of this epoch */
    double momentum, beta1, beta2, epsilon;
    int nesterov;
    double clip;                      /* most that the norm of the gradient may be; 0: no limit */
    double decay;                     /* value *= 1 - rate decay before the step, where value is decayed */
    const size_t *decayed;            /* first and length of each part of values that decays: (decayed_parts, 2) */
    size_t decayed_parts;
    int64_t steps;                    /* taken since the slots were zero */
    double total;                     /* increased by sum of w nll (without the terms in y alone), batch after batch */
    void *arena;                      /* arena_bytes, at least ps_arena(plan) */
} ps_plan;

size_t ps_arena(const ps_plan *plan);          /* bytes; 0: the plan does not fit together */
/* Takes steps from the batch *next on until the epoch or about `seconds` are over; at least one. *next is then the
 * batch to go on with. A batch whose loss is not finite, or whose head refuses it, changes nothing, stands in *next and
 * is told by the status. */
int ps_epoch(ps_plan *plan, size_t *next, double seconds);
/* Logits (rows, width) of x (rows, n_in), `batch` rows at a time, and what the head says of them: its outputs that are
 * not NULL and do not need y. Of the plan only real, stages, batch, n_in, head and the arena are read. */
size_t ps_predict_arena(const ps_plan *plan);
int ps_predict(const ps_plan *plan, size_t rows, const void *x, void *z);

int ps_families(void);                        /* how many rows the registry has              */
int ps_family(const char *name);              /* its row, or -1: "poisson/log"               */
const char *ps_family_name(int family);       /* NULL past the end                           */
int ps_use_isa(const char *name);             /* "scalar", "avx2", ... or "" for the best    */
const char *ps_isa(void);
const char *ps_isas(void);                    /* those this machine runs, best first, spaced */
int ps_use_threads(int count);                /* 0: what the affinity and quota allow        */
int ps_threads(void);
const char *ps_message(int status);
/* cdef: end */
#endif
