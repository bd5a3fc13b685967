/* normalisation.h: every row to mean 0 and variance 1, then a scale and a shift per column; Ba, Kiros & Hinton (2016).
 *
 *   u = (x - mean) / sqrt(variance + epsilon)      y = scale u + shift
 *   h = g scale                                    dx = (h - mean(h) - u mean(h u)) / sqrt(variance + epsilon)
 *   dscale = column sums of g u                    dshift = column sums of g
 * Means of a row are sums in double; the backward pass computes u again from x instead of keeping it. */
#ifndef NORMALISATION_H
#define NORMALISATION_H

typedef struct { V mean, scale; } Moments;       /* of a row; scale = 1 / sqrt(variance + epsilon) */

INLINE V row_part(const real *p, size_t i, size_t width)
{
    return i + LANES <= width ? load(p + i) : load_part(p + i, width - i);
}
INLINE void set_part(real *p, size_t i, size_t width, V x)
{
    if (i + LANES <= width) store(p + i, x);
    else store_part(p + i, x, width - i);
}
INLINE V counted(V x, size_t i, size_t width)    /* missing lanes stay out of sums */
{
    return i + LANES <= width ? x : select(first_lanes(width - i), x, C(0));
}

static Moments moments(size_t width, const real *x, double epsilon)
{
    Sum sum = no_sum(), squares = no_sum();
    for (size_t i = 0; i < width; i += LANES) sum = add(sum, counted(row_part(x, i, width), i, width));
    V mean = C(total_of(sum) / (double)width);
    for (size_t i = 0; i < width; i += LANES) {
        V d = row_part(x, i, width) - mean;
        squares = add(squares, counted(d * d, i, width));
    }
    return (Moments){mean, C(1.0 / sqrt(total_of(squares) / (double)width + epsilon))};
}

static void layer_norm_forward(size_t rows, size_t width, double epsilon, const void *x_, const void *scale_,
                               const void *shift_, void *y_)
{
    const real *x = x_, *scale = scale_, *shift = shift_;
    real *y = y_;
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        Moments m = moments(width, x, epsilon);
        for (size_t i = 0; i < width; i += LANES) {
            V u = (row_part(x, i, width) - m.mean) * m.scale;
            set_part(y, i, width, fma_(row_part(scale, i, width), u, row_part(shift, i, width)));
        }
    }
}

static void norm_row_dx(size_t width, Moments m, const real *x, const real *scale, const real *g, real *dx)
{
    Sum sum = no_sum(), along = no_sum();
    for (size_t i = 0; i < width; i += LANES) {
        V h = counted(row_part(g, i, width) * row_part(scale, i, width), i, width);
        sum = add(sum, h);
        along = add(along, h * ((row_part(x, i, width) - m.mean) * m.scale));
    }
    V mean = C(total_of(sum) / (double)width), slope = C(total_of(along) / (double)width);
    for (size_t i = 0; i < width; i += LANES) {
        V u = (row_part(x, i, width) - m.mean) * m.scale;
        V h = row_part(g, i, width) * row_part(scale, i, width);
        set_part(dx, i, width, m.scale * ((h - mean) - u * slope));
    }
}

static void norm_row_sums(size_t width, Moments m, const real *x, const real *g, real *dscale, real *dshift)
{
    for (size_t i = 0; i < width; i += LANES) {
        V u = (row_part(x, i, width) - m.mean) * m.scale, slope = row_part(g, i, width);
        if (dscale) set_part(dscale, i, width, fma_(slope, u, row_part(dscale, i, width)));
        if (dshift) set_part(dshift, i, width, row_part(dshift, i, width) + slope);
    }
}

static void layer_norm_backward(size_t rows, size_t width, double epsilon, const void *x_, const void *scale,
                                const void *g_, void *dx_, void *dscale, void *dshift)
{
    const real *x = x_, *g = g_;
    real *dx = dx_;
    if (dscale) memset(dscale, 0, width * sizeof(real));
    if (dshift) memset(dshift, 0, width * sizeof(real));
    for (size_t r = 0; r < rows; r++, x += width, g += width) {
        Moments m = moments(width, x, epsilon);
        norm_row_sums(width, m, x, g, dscale, dshift);
        if (dx) norm_row_dx(width, m, x, scale, g, dx), dx += width;
    }
}
#endif
