/* activation.h: elementwise activations. The backward pass works from the output y, so a layer keeps one array.
 *
 *   tanh  y = tanh(x)          dx = g (1 - y^2), as g (1 - y)(1 + y), which keeps its digits where |y| is near 1
 *   relu  y = x where x > 0    dx = g where y > 0; at x = 0 the derivative is taken as 0
 *   sigmoid  y = 1 / (1 + exp(-x))   dx = g y (1 - y)
 * An activation whose derivative is no function of y alone gets x in y's place:
 *   gelu  y = x Phi(x)         dx = g (Phi(x) + x phi(x)), Phi and phi of the standard normal (Hendrycks & Gimpel 2016)
 *   silu  y = x sigmoid(x)     dx = g s (1 + x (1 - s)), s = sigmoid(x)
 * NaN passes through all. */
#ifndef ACTIVATION_H
#define ACTIVATION_H

INLINE V relu(V x) { return select(x <= C(0), C(0), x); }       /* not x > 0: NaN must pass */

INLINE V activated(int activation, V x)
{
    if (activation == PS_TANH) return vtanh(x);
    if (activation == PS_RELU) return relu(x);
    if (activation == PS_SIGMOID) return vsigmoid(x);
    if (activation == PS_GELU) return times(normal(x).cdf, x);          /* 0 at minus infinity */
    if (activation == PS_SILU) return times(vsigmoid(x), x);
    return x;
}

INLINE V activation_grad(int activation, V y, V grad)           /* grad times dy/dx */
{
    if (activation == PS_TANH) return grad * ((C(1) - y) * (C(1) + y));
    if (activation == PS_RELU) return select(y <= C(0), C(0), grad);
    if (activation == PS_SIGMOID) return grad * (y * (C(1) - y));
    if (activation == PS_GELU) {
        Normal n = normal(y);
        return grad * (n.cdf + times(n.density, y));
    }
    if (activation == PS_SILU) {
        Logistic l = logistic(y);
        return grad * (l.sigmoid + times(l.sigmoid * l.rest, y));
    }
    return grad;
}

/* The loops, with a constant activation after inlining: what the other activations need is dead code in each. */
INLINE void activate(int activation, size_t count, const real *x, real *y)
{
    for (size_t i = 0; i < count; i += LANES)
        store_part(y + i, activated(activation, load_part(x + i, count - i)), count - i);
}

INLINE void deactivate(int activation, size_t count, const real *y, const real *grad, real *dx)
{
    for (size_t i = 0; i < count; i += LANES) {
        size_t left = count - i;
        store_part(dx + i, activation_grad(activation, load_part(y + i, left), load_part(grad + i, left)), left);
    }
}

static void activation_forward(int activation, size_t count, const void *x, void *y)
{
    switch (activation) {
    case PS_TANH: activate(PS_TANH, count, x, y); break;
    case PS_RELU: activate(PS_RELU, count, x, y); break;
    case PS_SIGMOID: activate(PS_SIGMOID, count, x, y); break;
    case PS_GELU: activate(PS_GELU, count, x, y); break;
    case PS_SILU: activate(PS_SILU, count, x, y); break;
    default: if (x != y && count) memcpy(y, x, count * sizeof(real));
    }
}

static void activation_backward(int activation, size_t count, const void *y, const void *grad, void *dx)
{
    switch (activation) {
    case PS_TANH: deactivate(PS_TANH, count, y, grad, dx); break;
    case PS_RELU: deactivate(PS_RELU, count, y, grad, dx); break;
    case PS_SIGMOID: deactivate(PS_SIGMOID, count, y, grad, dx); break;
    case PS_GELU: deactivate(PS_GELU, count, y, grad, dx); break;
    case PS_SILU: deactivate(PS_SILU, count, y, grad, dx); break;
    default: if (grad != dx && count) memcpy(dx, grad, count * sizeof(real));
    }
}
#endif
