/* families.h: every head. A family is a file under families/, its #include line and a row for each of its links. */
#include "families/gaussian.h"
#include "families/heteroscedastic_gaussian.h"
#include "families/bernoulli.h"
#include "families/poisson.h"
#include "families/categorical.h"

#define ROW(likelihood, link) {#likelihood "/" #link, likelihood##_##link##_head, likelihood##_terms}

static const HeadRow head_rows[] = {
    ROW(gaussian, identity), ROW(heteroscedastic_gaussian, identity), ROW(bernoulli, logit), ROW(poisson, log),
    ROW(categorical, softmax),
};
