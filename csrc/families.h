/* families.h: every head. A family is a file under families/, its #include line and a row for each of its links. */
#include "families/gaussian.h"
#include "families/heteroscedastic_gaussian.h"
#include "families/bernoulli.h"
#include "families/poisson.h"
#include "families/gamma.h"
#include "families/negative_binomial.h"
#include "families/tweedie.h"
#include "families/beta.h"
#include "families/student_t.h"
#include "families/laplace.h"
#include "families/lognormal.h"
#include "families/weibull.h"
#include "families/zero_inflated.h"
#include "families/hurdle.h"
#include "families/categorical.h"
#include "families/gaussian_mixture.h"
#include "families/ordinal.h"

#define ROW(likelihood, link) {#likelihood "/" #link, likelihood##_##link##_head, likelihood##_terms}

#define AROUND(gate, likelihood, link) \
    {#gate "_" #likelihood "/" #link, gate##_##likelihood##_##link##_head, likelihood##_terms},

static const HeadRow head_rows[] = {
    ROW(gaussian, identity), ROW(gaussian, log), ROW(gaussian, logit), ROW(gaussian, softplus),
    ROW(heteroscedastic_gaussian, identity),
    ROW(bernoulli, logit), ROW(bernoulli, probit), ROW(bernoulli, cloglog), ROW(bernoulli, loglog), ROW(bernoulli, cauchit),
    ROW(binomial, logit), ROW(binomial, probit), ROW(binomial, cloglog),
    ROW(poisson, log), ROW(poisson, softplus), ROW(poisson, sqrt), ROW(poisson, identity),
    ROW(gamma, log), ROW(gamma, canonical), ROW(gamma, reciprocal_softplus),
    ROW(gamma_shape, log), ROW(gamma_shape, canonical), ROW(gamma_shape, reciprocal_softplus),
    ROW(negative_binomial, log), ROW(negative_binomial, softplus),
    ROW(negative_binomial_concentration, log), ROW(negative_binomial_concentration, softplus),
    ROW(tweedie, log), ROW(tweedie, softplus),
    ROW(beta, logit),
    ROW(student_t, identity), ROW(student_t_df, identity),
    ROW(laplace, identity),
    ROW(lognormal, identity),
    ROW(weibull, log), ROW(weibull, softplus),
    ROW(categorical, softmax),
    ROW(gaussian_mixture, softmax),
    ROW(ordinal, logit),
    EACH_COUNT(AROUND, zero_inflated) EACH_COUNT(AROUND, hurdle)
};
