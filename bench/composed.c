/* composed.c: three pairs of a likelihood and a link, fused by hand: what the library's composed pairs are held against.
 * bench/composed.py compiles it for the active instruction set and each real; it is no part of the library. */
#include "isa/target.h"
#include <float.h>
#include <math.h>
#include <string.h>
#include "pyscratch.h"
#include "simd.h"
#include "vmath.h"

#define TAIL C(REAL_BITS == 32 ? -15 : -33)      /* left of it log(softplus(z)) = z - e^z / 2 */

typedef struct { V nll, grad; } Answer;
typedef Answer Fused(V z, V y);

/* A loop over whole vectors, then one vector of copies; targets are taken to be in the support. */
INLINE double run(Fused *pair, size_t n, const real *z, const real *y, real *grad)
{
    size_t whole = n / (size_t)LANES * (size_t)LANES;
    Sum s = no_sum();
    for (size_t i = 0; i < whole; i += (size_t)LANES) {
        Answer a = pair(load(z + i), load(y + i));
        s = add(s, a.nll), store(grad + i, a.grad);
    }
    if (whole < n) {
        Answer a = pair(load_part(z + whole, n - whole), load_part(y + whole, n - whole));
        s = add(s, select(first_lanes(n - whole), a.nll, C(0))), store_part(grad + whole, a.grad, n - whole);
    }
    return total_of(s);
}

typedef struct { V value, log, slope, up; } Positive;
INLINE Positive positive(V z)                    /* softplus, its log, its derivative, and that of its log */
{
    Logistic l = logistic(z);
    Mask tail = z < TAIL;
    return (Positive){l.softplus, select(tail, z - C(0.5) * l.t, vlog(l.softplus)), l.sigmoid,
                      select(tail, C(1) - C(0.5) * l.t, l.sigmoid / l.softplus)};
}

INLINE Answer poisson_softplus(V z, V y)
{
    Positive m = positive(z);
    return (Answer){m.value - times(y, m.log), m.slope - y * m.up};
}
INLINE Answer gamma_reciprocal_softplus(V z, V y)               /* of shape 2 */
{
    Positive s = positive(z);
    return (Answer){C(2) * (y * s.value - s.log), C(2) * (y * s.slope - s.up)};
}
INLINE Answer bernoulli_cloglog(V z, V y)
{
    V x = vexp(z), no = C(1) - y;
    Decay d = decay_of(x, C(0));
    V up = select(x < C(REAL_MIN), C(1), select(x > -DECAY_END, C(0), (x * d.raised / d.share) * LOWER));
    V log_mean = select(z < TAIL, z - C(0.5) * x, decay_log_share(x, d));
    return (Answer){times(no, x) - times(y, log_mean), times(no, x) - times(y, up)};
}

#define ENTRY(name) double name##_by_hand(size_t n, const real *z, const real *y, real *grad) \
    { return run(name, n, z, y, grad); }
ENTRY(poisson_softplus)
ENTRY(gamma_reciprocal_softplus)
ENTRY(bernoulli_cloglog)
