/* interim.h: lane-by-lane stand-ins through libm, until vmath.h has each as vector code under the same name. */
#define LANEWISE(name, expression) \
    APART V name(V v) \
    { \
        real part[LANES]; \
        for (int i = 0; i < LANES; i++) { double x = (double)lane(v, i); part[i] = (real)(expression); } \
        return load(part); \
    }
static inline double interim_lgamma(double x) { int sign; return lgamma_r(x, &sign); }
LANEWISE(vlgamma, interim_lgamma(x))
LANEWISE(vndtr, 0.5 * erfc(-x * 0.70710678118654752))
LANEWISE(vlog_ndtr, log(0.5 * erfc(-x * 0.70710678118654752)))
LANEWISE(vmills, exp(-0.5 * x * x) * 0.39894228040143268 / (0.5 * erfc(-x * 0.70710678118654752)))   /* phi / Phi */
LANEWISE(vatan, atan(x))
/* log C(n, k) and log[(r)_y / r^y] */
INLINE V vlog_choose(V n, V k) { return vlgamma(n + C(1)) - vlgamma(k + C(1)) - vlgamma(n - k + C(1)); }
INLINE V log_rising(V y, V r) { return vlgamma(y + r) - vlgamma(r) - y * vlog(r); }
