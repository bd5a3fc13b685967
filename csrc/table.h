/* table.h: one table of kernels per (instruction set, real). Each translation unit under isa/ exports exactly one. */
#ifndef TABLE_H
#define TABLE_H
#include "pyscratch.h"

enum { GRAD = 1, VALUE = 2, MEAN = 4, CURVATURE = 8, FISHER = 16, MORE = MEAN | CURVATURE | FISHER };  /* want */
enum { PS_STREAM = 1 << 16 };                    /* a flag of ours: outputs that no cache can hold */
enum { MAX_FAMILIES = 96, MAX_LOGITS = 3 };

/* A block of rows: a ps_call whose pointers stand at the block's first row. sum is increased by the block's sum of
 * w nll (terms with z only). Returns a status; *bad is the first offending row inside the block. */
typedef int HeadKernel(const ps_call *block, int want, double *sum, size_t *bad);
/* The terms in y alone: adds sum of w base to *sum and, where nll is wanted, w base to nll. Checks y when z is NULL. */
typedef int BaseKernel(const ps_call *block, double *sum, size_t *bad);

typedef struct {
    const char *name;                            /* "poisson/log" */
    HeadKernel *head;
    BaseKernel *base;
} HeadRow;

typedef struct {                                 /* a mathematical function */
    const char *name;
    double ulp, floor;                           /* the bound on its error, in ulp of max(|y|, floor) */
} FunctionRow;

typedef struct {
    int lanes;
    int heads;
    const HeadRow *head;
    int functions;
    const FunctionRow *function;
    void (*map)(int function, size_t count, const void *a, const void *b, void *y);
    size_t (*dense_workspace)(size_t rows, size_t n_in, size_t n_out);
    void (*dense_forward)(size_t rows, size_t n_in, size_t n_out, int activation, const void *x, const void *W,
                          const void *b, void *y, void *workspace);
    void (*dense_backward)(size_t rows, size_t n_in, size_t n_out, int activation, const void *x, const void *W,
                           const void *y, const void *grad, void *dx, void *dW, void *db, void *workspace);
    void (*activation_forward)(int activation, size_t count, const void *x, void *y);
    void (*activation_backward)(int activation, size_t count, const void *y, const void *grad, void *dx);
    void (*layer_norm_forward)(size_t rows, size_t width, double epsilon, const void *x, const void *scale,
                               const void *shift, void *y);
    void (*layer_norm_backward)(size_t rows, size_t width, double epsilon, const void *x, const void *scale,
                                const void *grad, void *dx, void *dscale, void *dshift);
    void (*sgd)(size_t count, void *value, const void *grad, void *velocity, double rate, double momentum,
                int nesterov);
    void (*adam)(size_t count, void *value, const void *grad, void *m, void *v, double rate, double beta1, double beta2,
                 double epsilon, double correction1, double correction2);
} Table;

extern const Table ps_scalar_f32, ps_scalar_f64;
#if defined(__x86_64__)
extern const Table ps_avx2_f32, ps_avx2_f64, ps_avx512_f32, ps_avx512_f64;
#elif defined(__aarch64__)
extern const Table ps_neon_f32, ps_neon_f64;
#endif
#endif
