/* families.h: every head. A family is a file under families/, its #include line and its row. */
#include "families/gaussian.h"
#include "families/bernoulli.h"
#include "families/poisson.h"
#include "families/heteroscedastic_gaussian.h"

/* POINTWISE(C name of the formula, "likelihood/link", logits, how its gradient is made, support, terms in y alone)
 * ROWWISE(C name of the head, "likelihood/link") */
#define FAMILIES \
    POINTWISE(gaussian_point,                    "gaussian/identity", 1, CANONICAL, outside_reals, gaussian_base) \
    POINTWISE(bernoulli_point,                   "bernoulli/logit", 1, PROPORTION, outside_unit, NULL) \
    POINTWISE(poisson_point,                     "poisson/log", 1, CANONICAL, outside_counts, poisson_base) \
    POINTWISE(heteroscedastic_gaussian_softplus, "heteroscedastic_gaussian/softplus", 2, OWN, outside_reals, half_log_2pi)

/* One kernel per row: the loops with the row's constants. */
#define POINTWISE(point, name, logits, link, outside, base) \
    static int point##_rows(Rows r, size_t count, const ps_call *c, int want, double *sum, size_t *bad) \
    { return pointwise_rows(point, outside, link, logits, r, count, c, want, sum, bad); } \
    static int point##_head(const ps_call *c, int want, double *sum, size_t *bad) \
    { return pointwise_head(point##_rows, logits, c, want, sum, bad); } \
    static int point##_base(const ps_call *c, double *sum, size_t *bad) \
    { return base_loop(base, outside, c, sum, bad); }
#define ROWWISE(head, name)
FAMILIES
#undef POINTWISE
#undef ROWWISE

#define POINTWISE(point, name, logits, link, outside, base) {name, point##_head, point##_base},
#define ROWWISE(head, name) {name, head##_head, head##_base},
static const HeadRow head_rows[] = { FAMILIES };
#undef POINTWISE
#undef ROWWISE
