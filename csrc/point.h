/* point.h: the vocabulary of the formulas. A family is a function from an Obs, what comes in for LANES observations at
 * once, to a Point, what the family says about them. Members that a family does not set are zero, and what a kernel does
 * not want is dead code: value, gradient and curvature come from one text and cannot drift apart. */
#ifndef POINT_H
#define POINT_H

typedef struct {
    V dispersion, per_dispersion;  /* fixed by the options; 1 for most families     */
    V parameter;                   /* the fixed shape, concentration or df          */
    V power;                       /* Tweedie                                       */
    V min_scale;                   /* added to a predicted scale                    */
    Mask integer;                  /* counts must be whole                          */
    int scale_link, floored;       /* of a predicted scale; whether min_scale > 0   */
} Fixed;

typedef struct {
    V z[MAX_LOGITS];               /* the logits of one observation, offset added   */
    V y, y2;                       /* the target; pairs: successes and failures; a proportion: y and 1 - y */
    V count;                       /* y + y2 of pairs, otherwise 1                                         */
    Fixed fixed;
    int want;                      /* what the kernel wants: to leave out what is costly and not wanted    */
    V begun;                       /* what Begin made of z, in loops of HOT rows that have one                 */
    int bare;                      /* a constant 1 in the loops of HOT rows: a scale has the default link, and nothing
                                    * that is said of a y outside the support or a z that is not ordinary is used */
} Obs;

/* a b with 0 inf = 0 whichever is 0; see also `times`. */
INLINE V product(V a, V b) { return select(both(a != C(0), b != C(0)), a * b, C(0)); }

/* `times`, and x - a b likewise, for a b that is infinite only where z is not ordinary. */
INLINE V times_in(const Obs *o, V a, V b) { return o->bare ? a * b : times(a, b); }
INLINE V less_times(const Obs *o, V x, V a, V b)
{
    V y = fma_(-a, b, x);
    return o->bare ? y : select(a != C(0), y, x);
}

/* Beside what table.h names, `want` may ask for: LOGARITHMS, of a link, leaves out mean, rest and slope. */
enum { NOTHING = 32, LOGARITHMS = 64 };
/* Of a family of counts: n, the nll of y = 0 (minus log P(0)), and what ZeroInflated and Hurdle need of it, in terms that
 * do not vanish where n reaches 0. */
typedef struct {
    V nll, log_nll;                /* n, log n                                                                         */
    V up[2], up_slope[2], up_cross;          /* first and second derivatives of log n                                  */
    V spare[2];                    /* Fisher information / n, of the first logit minus up^2, which it is close to      */
    V per_nll, excess, log_excess; /* mean / n - 1, variance / mean - 1 and its log                                    */
} None;

enum { PAIRS = MAX_LOGITS * (MAX_LOGITS - 1) / 2 };   /* of logits: 01, 02, 12 */
typedef struct {
    V nll;                         /* without the terms in y alone: see the base measures                            */
    V plain, odds;                 /* of a FACTORED nll = plain + log(1 + odds), odds in [0, 1]                      */
    V mean, variance;              /* of the distribution, NaN where it does not exist                               */
    V rest;                        /* 1 - mean without cancellation, where the mean is a proportion                  */
    V inverse;                     /* 1 / mean, from families whose residual is relative                             */
    V param[MAX_LOGITS];           /* where a family has more parameters than its mean                               */
    V grad[MAX_LOGITS];            /* dnll/dz: a family with a residual has none to state                            */
    V curv[MAX_LOGITS];            /* diagonal of d2nll/dz2: a family with its canonical link has none to state      */
    V fisher[MAX_LOGITS];          /* diagonal of its expectation: the same                                          */
    V curv_pair[PAIRS], fisher_pair[PAIRS];   /* beside the diagonal                                                 */
    V slope, up, down;             /* dmean/dz, d log mean / dz and -d log rest / dz, from the link                  */
    V leverage;                    /* slope / V(mean), V the variance function                                       */
    None none;
} Point;

typedef Point Family(Obs o);
typedef V Begin(const V *z);
typedef Mask Support(V y, Mask whole);      /* true where y is outside, NaN included */
typedef Mask Domain(V z);                   /* true where the link is not defined; NaN is inside: it makes NaN */
typedef V Base(Obs o);                      /* the part of nll that depends on y alone: minus the log base measure */

/* How a family's gradient is made. With a canonical link the leverage is 1: nothing but the residual. */
enum {
    OWN = 0,                       /* the family states it                                                    */
    CANONICAL = 1,                 /* mean - y                                                                */
    PROPORTION = 2,                /* the same for means in [0, 1], from mean and rest, without cancellation  */
    CHAINED = 4,                   /* the residual times leverage: residual / variance x link slope           */
    RELATIVE = 8,                  /* the residual is (mean - y) / mean, so leverage is slope mean / V(mean)  */
    FACTORED = 16                  /* the sum of the logs of 1 + odds is the log of their product             */
};

/* The backward pass of every canonical family: the residual, predicted mean minus target.
 * y2 mean - y rest is the same number where y2 = 1 - y, for a mean in [0, 1]: at z = 20, y = 1 it keeps the digits that
 * mean - y has lost. For pairs, y2 mean - y rest = n mean - y. */
INLINE V residual(Point p, Obs o, int kind)
{
    if (kind & RELATIVE) return C(1) - o.y * p.inverse;
    if (kind & PROPORTION && kind & CHAINED) return times(o.y2, p.mean) - times(o.y, p.rest);  /* may be infinite */
    return kind & PROPORTION ? fma_(o.y2, p.mean, -(o.y * p.rest)) : p.mean - o.y;
}

/* Gradient and Fisher information of a family whose variance is dispersion x V(mean), by the chain of the link; a
 * generalised linear model's score and information, McCullagh & Nelder (1989), section 2.5. The leverage of a proportion
 * is slope / (mean rest): mean and rest times that are down and up, which stay finite where it does not. */
INLINE void give_gradient(Point *p, const Obs *o, int kind)
{
    V per = o->fixed.per_dispersion, leverage = kind & CHAINED && !(kind & PROPORTION) ? p->leverage : C(1);
    V mean = kind == (PROPORTION | CHAINED) ? p->down : p->mean, rest = kind == (PROPORTION | CHAINED) ? p->up : p->rest;
    if (kind == OWN) return;
    V information = kind & RELATIVE ? p->up : kind & PROPORTION ? product(mean, rest) : p->slope;
    Point q = {.mean = mean, .rest = rest, .inverse = p->inverse};
    p->grad[0] = residual(q, *o, kind) * leverage;  /* the loops multiply by 1 / dispersion, once for all rows */
    p->fisher[0] = information * leverage * per * o->count;
    if (!(kind & CHAINED)) p->curv[0] = p->fisher[0];
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
    f.scale_link = options->scale_link;
    f.floored = options->min_scale > 0;
    return f;
}

/* Supports that several families share; NaN is outside of all. */
INLINE Mask outside_reals(V y, Mask whole) { (void)whole; return negate(is_finite(y)); }
INLINE Mask outside_unit(V y, Mask whole) { (void)whole; return negate(both(y >= C(0), y <= C(1))); }
INLINE Mask outside_open_unit(V y, Mask whole) { (void)whole; return negate(both(y > C(0), y < C(1))); }
INLINE Mask outside_positive(V y, Mask whole) { (void)whole; return negate(both(y > C(0), y <= C(REAL_MAX))); }
INLINE Mask outside_nonnegative(V y, Mask whole) { (void)whole; return negate(both(y >= C(0), y <= C(REAL_MAX))); }
INLINE Mask outside_counts(V y, Mask whole)      /* whole: in which lanes it must be a whole number */
{
    return either(outside_nonnegative(y, whole), both(whole, negate(is_whole(y))));
}

/* The same in a few operations on bits, for the loops of HOT rows, which leave doubtful rows to the general one: the
 * sign of one word, or any bit of the other, says that y may be outside. (-0 is doubtful, and inside.) */
typedef struct { I sign, any; } Doubt;
typedef Doubt Doubtful(V y, Mask whole);
INLINE Doubt from_to(V y, I lowest, V highest)                  /* in the order of their bits; lowest is 0 or 1 */
{
    I bits = as_int(y);
    return (Doubt){bits | less(bits, lowest) | less(as_int(highest), bits), isplat(0)};
}
INLINE I outsized(V x, real bound)                              /* the sign: |x| > bound, or NaN */
{
    return less(as_int(splat(bound)), as_int(abs_(x)));
}
INLINE Doubt doubt_reals(V y, Mask whole) { (void)whole; return (Doubt){outsized(y, REAL_MAX), isplat(0)}; }
INLINE Doubt doubt_unit(V y, Mask whole) { (void)whole; return from_to(y, isplat(0), C(1)); }
INLINE Doubt doubt_open_unit(V y, Mask whole) { (void)whole; return from_to(y, isplat(1), C(1 - REAL_EPSILON / 2)); }
INLINE Doubt doubt_positive(V y, Mask whole) { (void)whole; return from_to(y, isplat(1), C(REAL_MAX)); }
INLINE Doubt doubt_nonnegative(V y, Mask whole) { (void)whole; return from_to(y, isplat(0), C(REAL_MAX)); }
INLINE Doubt doubt_counts(V y, Mask whole)
{
    return (Doubt){from_to(y, isplat(0), C(REAL_MAX)).sign, as_int(select(whole, y - round_(y), C(0)))};
}
INLINE Doubt doubts(Doubt a, Doubt b) { return (Doubt){a.sign | b.sign, a.any | b.any}; }
INLINE Mask doubted(Doubt d) { return (Mask)(shift_right(d.sign, REAL_BITS - 1) | d.any); }     /* not 0 where it is */

/* Domains of links. */
INLINE Mask not_positive(V z) { return z <= C(0); }
INLINE Mask not_negative(V z) { return z >= C(0); }
#endif
