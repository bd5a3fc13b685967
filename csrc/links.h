/* links.h: the maps from logits to parameters that several families share. */
#ifndef LINKS_H
#define LINKS_H

/* A predicted scale (or concentration) h(z) + min_scale, with what a likelihood needs of it. 1 / scale = inverse * extra:
 * two factors, since a scale of exp(-300) has no reciprocal in float32 while its product with a small residual is finite;
 * both are clamped below infinity, so that a residual of 0 stays 0. */
typedef struct {
    V scale, log_scale, inverse, extra;
    V slope, bend;                           /* d log scale / dz, d2 log scale / dz2 */
} Scale;

/* softplus: log h = z - t/2 + 5 t^2 / 24 - ... with t = exp(z), of which the third term is below half an ulp left of TAIL
 * (where log(softplus) would first lose digits, then be -infinity).  h'/h = sigmoid / h,
 * (h'/h)' = h'/h (1 - sigmoid - h'/h) and, for z < 0, 1 - sigmoid - h'/h = (log1p(t) - t) / ((1 + t) log1p(t)). */
INLINE Scale softplus_scale(V z, V min_scale)
{
    V tail = C(REAL_BITS == 32 ? -15 : -33), far = C(REAL_BITS == 32 ? -80 : -700);
    Logistic l = logistic(z);
    Mask floored = min_scale > C(0), collapsing = both(z < tail, negate(floored));
    Scale s = {.scale = l.softplus + min_scale, .extra = C(1)};
    s.inverse = C(1) / s.scale;
    if (any_lane(both(z < far, negate(floored)))) {
        V root = min_(vexp(C(-0.5) * z), C(REAL_MAX));
        Mask split = both(z < far, negate(floored));
        s.inverse = select(split, root, s.inverse);
        s.extra = select(split, root, s.extra);
    }
    s.log_scale = select(collapsing, z - C(0.5) * l.t, vlog(s.scale));
    s.slope = select(collapsing, C(1) - C(0.5) * l.t, l.sigmoid * s.inverse * s.extra);
    V left = vlog1pmx(l.t) / ((C(1) + l.t) * l.log1p_t), right = l.rest - l.sigmoid * s.inverse;
    V bent = select(both(z < C(0), negate(floored)), select(collapsing, C(-0.5) * l.t, left), right);
    s.bend = s.slope * bent;
    return s;
}
#endif
