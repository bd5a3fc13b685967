/* thresholds.c: from one number x to the logits c_k - x of ordered classes. The cutpoints are c_0 = first and
 * c_k = c_(k-1) + log(1 + exp(gap_k)), which never decrease; sums are in double, in the order of k and of the rows. */
#include <math.h>
#include "floating.h"
#include "head.h"

static void set_real(int real, void *p, size_t i, double x)
{
    if (real == PS_F32) ((float *)p)[i] = (float)x;
    else ((double *)p)[i] = x;
}
static int bad_thresholds(int real, size_t rows, size_t width, const void *first, const void *gaps, const void *x)
{
    if ((real != PS_F32 && real != PS_F64) || !width || rows > SIZE_MAX / sizeof(double) / width) return 1;
    return !first || (width > 1 && !gaps) || (rows && !x);
}

int ps_thresholds_forward(int real, size_t rows, size_t width, const void *x, const void *first, const void *gaps,
                          void *y)
{
    if (bad_thresholds(real, rows, width, first, gaps, x) || (rows && !y)) return PS_BAD_CALL;
    Control saved = enter_floating();
    double c = real_at(real, first, 0);
    for (size_t k = 0; k < width; k++) {
        double gap = k ? real_at(real, gaps, k - 1) : 0;
        if (k) c += (gap > 0 ? gap : 0) + log1p(exp(-fabs(gap)));
        for (size_t r = 0; real == PS_F32 && r < rows; r++)
            ((float *)y)[r * width + k] = (float)c - ((const float *)x)[r];
        for (size_t r = 0; real == PS_F64 && r < rows; r++) ((double *)y)[r * width + k] = c - ((const double *)x)[r];
    }
    leave_floating(saved);
    return PS_OK;
}

/* A cutpoint moves with its own gap and with all before it: `beyond` is the gradient of c_k and of those after it. */
int ps_thresholds_backward(int real, size_t rows, size_t width, const void *gaps, const void *grad, void *dx,
                           void *dfirst, void *dgaps)
{
    if (bad_thresholds(real, rows, width, dfirst, gaps, grad) || (width > 1 && !dgaps)) return PS_BAD_CALL;
    Control saved = enter_floating();
    double beyond = 0;
    for (size_t k = width; k--;) {
        double sum = 0;
        for (size_t r = 0; r < rows; r++) sum += real_at(real, grad, r * width + k);
        beyond += sum;
        if (k) set_real(real, dgaps, k - 1, beyond / (1 + exp(-real_at(real, gaps, k - 1))));
        else set_real(real, dfirst, 0, beyond);
    }
    for (size_t r = 0; dx && r < rows; r++) {
        double sum = 0;
        for (size_t k = 0; k < width; k++) sum += real_at(real, grad, r * width + k);
        set_real(real, dx, r, -sum);
    }
    leave_floating(saved);
    return PS_OK;
}
