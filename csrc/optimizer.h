/* optimizer.h: steps on flat arrays, in place. Only rounded products and sums, no fused multiply-add, and constants
 * rounded to the array's type first: the same operations in the same order give NumPy the same bits. */
#ifndef OPTIMIZER_H
#define OPTIMIZER_H

/* velocity = momentum velocity + grad;  value = value - rate velocity  (Polyak 1964, as Sutskever et al. 2013);
 * Nesterov's: value = value - rate (momentum velocity + grad) */
static void sgd(size_t count, void *value, const void *grad, void *velocity, double rate, double momentum,
                int nesterov)
{
    real *w = value, *speed = velocity;
    const real *g = grad;
    V step = C(rate), keep = C(momentum);
    for (size_t i = 0; i < count; i += LANES) {
        size_t left = count - i;
        int whole = left >= LANES;
        V slope = whole ? load(g + i) : load_part(g + i, left), move = slope;
        if (speed) {
            move = keep * (whole ? load(speed + i) : load_part(speed + i, left)) + slope;
            if (whole) store(speed + i, move); else store_part(speed + i, move, left);
            if (nesterov) move = keep * move + slope;
        }
        V next = (whole ? load(w + i) : load_part(w + i, left)) - step * move;
        if (whole) store(w + i, next); else store_part(w + i, next, left);
    }
}

/* Adam (Kingma and Ba 2015, algorithm 1), with the corrections of the two moments drawn out of the loop:
 *   m = beta1 m + (1 - beta1) grad
 *   v = beta2 v + (1 - beta2) grad^2                       as ((1 - beta2) grad) grad
 *   value = value - (rate / correction1) m / (sqrt(v) (1 / sqrt(correction2)) + epsilon)
 * The bracketed factors are computed in double, then rounded. */
typedef struct { V keep1, add1, keep2, add2, rate, root, epsilon; } AdamStep;

INLINE V adam_step(const AdamStep *s, V value, V grad, V *m, V *v)
{
    *m = s->keep1 * *m + s->add1 * grad;
    *v = s->keep2 * *v + (s->add2 * grad) * grad;
    return value - s->rate * *m / (sqrt_(*v) * s->root + s->epsilon);
}

static void adam(size_t count, void *value, const void *grad, void *m_, void *v_, double rate, double beta1,
                 double beta2, double epsilon, double correction1, double correction2)
{
    real *w = value, *m = m_, *v = v_;
    const real *g = grad;
    AdamStep step = {C(beta1), C(1.0 - beta1), C(beta2), C(1.0 - beta2), C(rate / correction1),
                     C(1.0 / sqrt(correction2)), C(epsilon)};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        V mi = load(m + i), vi = load(v + i);
        store(w + i, adam_step(&step, load(w + i), load(g + i), &mi, &vi));
        store(m + i, mi), store(v + i, vi);
    }
    if (i < count) {
        size_t left = count - i;
        V mi = load_part(m + i, left), vi = load_part(v + i, left);
        store_part(w + i, adam_step(&step, load_part(w + i, left), load_part(g + i, left), &mi, &vi), left);
        store_part(m + i, mi, left), store_part(v + i, vi, left);
    }
}
#endif
