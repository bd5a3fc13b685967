/* point.h: the vocabulary of the formulas. A family is a function from an Obs, what comes in for LANES observations at
 * once, to a Point, what the family says about them. Members that a family does not set are zero, and what a kernel does
 * not want is dead code: value, gradient and curvature come from one text and cannot drift apart. */
#ifndef POINT_H
#define POINT_H

typedef struct {
    V dispersion, per_dispersion;  /* fixed by the options; 1 for most families    */
    V parameter;                   /* the fixed shape, concentration or df          */
    V power;                       /* Tweedie                                       */
    V min_scale;                   /* added to a predicted scale                    */
    Mask integer;                  /* counts must be whole                          */
} Fixed;

typedef struct {
    V z[MAX_LOGITS];               /* the logits of one observation, offset added   */
    V y, y2;                       /* the target; for pairs successes and failures  */
    Fixed fixed;
    int want;                      /* what the kernel wants: to leave out what is costly and not wanted              */
} Obs;

typedef struct {
    V nll;                         /* without the terms in y alone: see the base measures                            */
    V mean, variance;              /* of the distribution, NaN where it does not exist                               */
    V rest;                        /* 1 - mean without cancellation, from families whose mean is a proportion        */
    V param[MAX_LOGITS];           /* where a family has more parameters than its mean                               */
    V grad[MAX_LOGITS];            /* dnll/dz: a canonical family has none to state                                  */
    V curv[MAX_LOGITS];            /* diagonal of d2nll/dz2                                                          */
    V fisher[MAX_LOGITS];          /* diagonal of its expectation                                                    */
} Point;

typedef Point Family(Obs o);
typedef Mask Support(V y, Fixed fixed);     /* true where y is outside, NaN included */
typedef V Base(V y, Fixed fixed);           /* the part of nll that depends on y alone: minus the log base measure */

/* How a family's gradient is made. */
enum {
    OWN = 0,                       /* the family states it                                                           */
    CANONICAL = 1,                 /* mean - y                                                                       */
    PROPORTION = 2                 /* the same number for a mean in [0, 1], from mean and rest, without cancellation */
};

/* The backward pass of every canonical family: the residual, predicted mean minus target (per dispersion).
 * (1 - y) mean - y (1 - mean) = mean - y; at z = 20, y = 1 the left side keeps the digits that the right side has lost. */
INLINE V residual(Point p, Obs o, int link)
{
    return link == PROPORTION ? (C(1) - o.y) * p.mean - o.y * p.rest : p.mean - o.y;
}

INLINE Fixed fixed_by(const ps_options *options)
{
    Fixed f;
    f.dispersion = C(options->dispersion);
    f.per_dispersion = C(1.0 / options->dispersion);
    f.parameter = C(options->parameter);
    f.power = C(options->power);
    f.min_scale = C(options->min_scale);
    f.integer = first_lanes(options->integer ? (size_t)LANES : 0);
    return f;
}

/* Supports that several families share. */
INLINE Mask outside_reals(V y, Fixed f) { (void)f; return negate(is_finite(y)); }
INLINE Mask outside_unit(V y, Fixed f) { (void)f; return negate(both(y >= C(0), y <= C(1))); }
INLINE Mask outside_counts(V y, Fixed f)
{
    return either(negate(both(y >= C(0), is_finite(y))), both(f.integer, negate(is_whole(y))));
}
INLINE V no_base(V y, Fixed f) { (void)f; return y - y; }
#endif
