/* functions.h: the functions of vmath.h and special.h as rows of a table, for tests and benches. Each row states the
 * bound that every instruction set and real is held to, in ulp of max(|result|, floor): floor is 0 where the result is
 * accurate relative to itself, and where it crosses zero by cancellation the size of the terms that cancel. */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#define EACH_FUNCTION(F) \
    F(exp, exp_called(a), 1, 0) \
    F(exp_nonpositive, exp_nonpositive(a), 1, 0) \
    F(expm1, expm1_called(a), 2, 0) \
    F(tanh, vtanh(a), 2, 0) \
    F(log, log_called(a), 1, 0) \
    F(log1p, log1p_called(a), 2, 0) \
    F(log1pmx, log1pmx_called(a), 4, 0) \
    F(log1p_unit, log1p_unit(a), 2, 0) \
    F(log1mexp, log1mexp_called(a), 3, 0) \
    F(sigmoid, logistic_called(a).sigmoid, 3, 0) \
    F(rest, logistic_called(a).rest, 3, 0) \
    F(softplus, logistic_called(a).softplus, 3, 0) \
    F(log_softplus, log_softplus(a, logistic_called(a)), 3, 1) \
    F(lgamma, vlgamma(a), 4, 0) \
    F(log_factorial, vlog_factorial(a), 5, 0) \
    F(digamma, vdigamma(a), 4, 1) \
    F(trigamma, vtrigamma(a), 4, 0) \
    F(shape_nll, gamma_shape(a).nll, 6, 1) \
    F(shape_score, gamma_shape(a).score, 8, 0) \
    F(shape_information, shape_information(a), 5, 0) \
    F(ratio_log, gamma_ratio(a, b).log, 6, 1) \
    F(ratio_slope, gamma_ratio(a, b).slope, 6, 1) \
    F(log_choose, vlog_choose(a, b), 6, 1) \
    F(ndtr, normal(a).cdf, 4, 0) \
    F(log_ndtr, normal(a).log_cdf, 5, 0) \
    F(inverse_mills, normal(a).ratio, 5, 0) \
    F(erfc, verfc(a), 5, 0) \
    F(atan, vatan(a), 2, 0) \
    F(sin, vsincos(a).sin, 2, 1) \
    F(cos, vsincos(a).cos, 2, 1)

typedef V Function(V a, V b);
#define DEFINE(name, value, ulp, floor) APART V at_##name(V a, V b) { (void)b; return value; }
#define LISTED(name, value, ulp, floor) {#name, ulp, floor},
#define POINTER(name, value, ulp, floor) at_##name,
EACH_FUNCTION(DEFINE)
static const FunctionRow function_rows[] = { EACH_FUNCTION(LISTED) };

static void map(int function, size_t count, const void *a, const void *b, void *y)
{
    static Function *const functions[] = { EACH_FUNCTION(POINTER) };
    for (size_t i = 0; i < count; i += (size_t)LANES) {
        size_t left = count - i;
        V first = load_part((const real *)a + i, left), second = b ? load_part((const real *)b + i, left) : C(0);
        store_part((real *)y + i, functions[function](first, second), left);
    }
}
#endif
