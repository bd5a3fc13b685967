/* Student's t with location, scale s and degrees of freedom v: u = (y - location) / s,
 * nll = log s + (v + 1) / 2 log(1 + u^2 / v) - rise,  base = log(2 pi) / 2,
 * rise = log Gamma((v + 1) / 2) - log Gamma(v / 2) - log(v / 2) / 2: as v grows the Gaussian term by term, rise being
 * -1 / (4 v) then. Of a fixed v it is part of the base. Mean and variance do not exist for v <= 1 and v <= 2.
 * Lange, Little & Taylor (1989). */

/* rise and its derivative by log v; half is v / 2. */
INLINE GammaRatio student_rise(V half, V log_half)
{
    GammaRatio g = gamma_ratio(max_(min_(half, LARGEST), SMALLEST), C(0.5));
    Mask far = half > C(1 / REAL_EPSILON);
    V late = select(half < SMALLEST, C(0.5) * (log_half - LOG_SMALLEST), C(0)), limit = C(0.125) / half;
    return (GammaRatio){select(far, -limit, g.log + late), select(far, limit, g.slope)};
}

/* Of the second derivatives by log v: bend = (v / 2)^2 (trigamma(v / 2) - trigamma((v + 1) / 2)) - 1/2, and the Fisher
 * information bend + (3 - v) / (2 (v + 1) (v + 3)), which is 7 / (2 v^2) for large v. The alternating sum of
 * 1 / (x + j)^2 is 1 / (2 x^2) + 1 / (2 x^3) + E(x), where E(x) + E(x + 1) = -(x + 1/2) / (x (x + 1))^3; from 17 on E
 * is its asymptotic series (of Abramowitz & Stegun 6.4.12). Below 3 one term of the sum is set apart. */
typedef struct { V bend, information; } StudentInformation;
SELDOM StudentInformation student_information(V v)
{
    static const real table[] = {-0.5, 1.5, -8.5, 77.5, -1036.5, 19113.5, -464784.5};
    enum { STEPS = 16 };
    Mask low = v < C(3);
    v = max_(min_(v, C(REAL_MAX)), SMALLEST);
    V x = select(low, v + C(1), v), far = C(1) / (x + C(STEPS)), w = far * far;
    V E = w * w * far * poly(w, table, sizeof table / sizeof(real));
    for (int j = STEPS - 1; j >= 0; j--) {
        V at = x + C(j), c = C(1) / (at * (at + C(1)));
        E = -(E + (at + C(0.5)) * c * c * c);
    }
    V share = v / x, all = C(0.5) - share * share * (C(0.5) + C(0.5) / x + E * x * x), rest = E * v * v;
    V usual = C(0.5) * (C(7) + C(3) / v) / (v + C(1)) / (v + C(3)) + rest;
    V first = all + C(0.5) * (C(3) - v) / ((v + C(1)) * (v + C(3)));
    return (StudentInformation){select(low, all, C(0.5) / v + rest), select(low, first, usual)};
}

/* q = u^2 / v, p = 1 / (1 + q), share = q p, log1p = log(1 + q): from logarithms where u^2 or 1 / v overflows. */
typedef struct { V r, u, u2, q, p, share, log1p, pull, weight, score; Mask tiny, wide; } Student;
SELDOM Student student_of(V r, Scale s, V v, V log_v)
{
    V u = r * s.inverse * s.extra, u2 = u * u, q = u * (u / v), l = log1p_called(q);
    Mask wide = q > C(1), far = negate(q <= C(REAL_MAX));
    V t = select(wide, C(1) / q, q), per = C(1) / (C(1) + t);
    V p = select(wide, t * per, per), share = select(wide, per, t * per);
    if (any_lane(far)) {
        V log_q = C(2) * (log_called(abs_(r)) - s.log_scale) - log_v;
        Logistic g = logistic_called(log_q);
        p = select(far, g.rest, p), share = select(far, g.sigmoid, share);
        l = select(far, g.softplus, l), q = select(far, exp_called(log_q), q), wide = q > C(1);
    }
    V pull = select(wide, (v + C(1)) * share / r, product(u, C(1) + C(1) / v) * p * s.inverse * s.extra);
    if (any_lane(far)) {                         /* where u / v or u^2 overflows and q does not: (v + 1) q p / |r| */
        V log_r = log_called(abs_(r)), log_more = select(v > LARGEST, log_v, log1p_called(v));
        V part = exp_called(log_more + log_r - C(2) * s.log_scale - log_v - l);
        pull = select(both(far, negate(wide)), select(r > C(0), part, -part), pull);
    }
    V score = select(wide, p - v * share, p * (C(1) - u) * (C(1) + u));
    return (Student){.r = r, .u = u, .u2 = u2, .q = q, .p = p, .share = share, .log1p = l,
                     .tiny = q < C(REAL_EPSILON / 2), .wide = wide, .pull = pull, .score = score,
                     .weight = select(wide, v * share, u2 * p) + share};
}

/* With respect to the location and log s: gradient (-pull, score), score = 1 - weight, weight = (v + 1) share. */
INLINE Point student_t_at(Obs o, Scale s, V v, Student t)
{
    V per = s.inverse * s.extra, ratio = C(2) / (v + C(3)), steeper = C(2) * t.p * steep(s) - s.bend;
    V nll = select(t.tiny, C(0.5) * (t.u2 + t.q), C(0.5) * (v + C(1)) * t.log1p), lean = t.p - t.share;
    V curv = product(product(C(1) + C(1) / v, per * per) * t.p, lean);
    curv = select(t.wide, (v + C(1)) * t.share / t.r * (lean / t.r), curv);
    V tail = select(v > LARGEST, C(1), v / (v - C(2)));
    return (Point){.mean = select(v > C(1), o.z[0], NOT_A_NUMBER), .param = {o.z[0], s.scale},
                   .variance = select(v > C(2), s.scale * s.scale * tail, NOT_A_NUMBER), .nll = s.log_scale + nll,
                   .grad = {-t.pull, times(s.slope, t.score)}, .curv = {curv, s.bend + times(steeper, t.weight)},
                   .curv_pair = {C(2) * t.p * t.pull * s.slope},
                   .fisher = {per * per * (C(1) - ratio), C(2) / (C(1) + C(3) / v) * steep(s)}};
}

INLINE Point student_t(Obs o)
{
    Scale s = scale_of(o.z[1], &o);
    V v = o.fixed.parameter;
    return student_t_at(o, s, v, student_of(o.y - o.z[0], s, v, log_called(v)));
}

/* With respect to z3, from log v: gradient (v log(1 + q) - weight) / 2 - d rise, where v log(1 + q) - u^2 and
 * u^2 - weight are each of the order of 1 / v; second derivative bend + share (1 + score) / 2 + gradient. As v grows
 * they go to g and -g, g = ((u^2 - 1)^2 - 2) / (4 v), which does not underflow where v overflows. */
typedef struct { V first, second; } ByLogDf;
INLINE ByLogDf student_by_log_df(Student t, Scale s, Scale f, V climb, V bend)
{
    V v = f.scale, share = t.share, small = select(t.tiny, C(-0.5) * product(t.u2, t.q), v * log1pmx_called(t.q));
    V near = small + product(share, (t.u - C(1)) * (t.u + C(1))), lead = t.log1p - share;
    V first = C(0.5) * select(t.wide, product(v, lead) - share, near) - climb;
    V usual = times(f.curve, first) + steep(f) * (bend + C(0.5) * product(share, C(1) + t.score));
    V large = product(v, times(f.curve, lead) - steep(f) * share * share) + share * (steep(f) * (C(1) + t.p) - f.curve);
    ByLogDf d = {times(f.slope, first), select(t.wide, C(0.5) * large + steep(f) * bend - f.curve * climb, usual)};
    Mask endless = both(negate(t.wide), either(both(t.tiny, v > LARGEST), v > C(REAL_MAX)));
    if (any_lane(endless)) {
        V root = exp_called(C(-0.25) * f.log_scale), u = product(t.r * root, s.inverse) * s.extra;  /* of v: 4th root */
        V far = exp_called(log_called(abs_(t.r)) - s.log_scale - C(0.25) * f.log_scale);
        u = select(root < C(REAL_MIN), far, u);
        V half = C(0.5) * (u - root) * (u + root), square = root * root;
        V limit = half * half - C(0.5) * square * square;
        d.first = select(endless, f.slope * limit, d.first);
        d.second = select(endless, (f.bend - steep(f)) * limit, d.second);
    }
    return d;
}

INLINE Point student_t_df(Obs o)
{
    Obs unfloored = o;
    unfloored.fixed.floored = 0;
    Scale s = scale_of(o.z[1], &o), f = scale_of(o.z[2], &unfloored);
    V v = f.scale;
    Student t = student_of(o.y - o.z[0], s, v, f.log_scale);
    GammaRatio rise = student_rise(C(0.5) * v, f.log_scale - C(0.69314718055994530942));
    StudentInformation i = {C(0), C(0)};
    if (o.want & (CURVATURE | FISHER)) i = student_information(v);
    ByLogDf d = student_by_log_df(t, s, f, rise.slope, i.bend);
    Point p = student_t_at(o, s, v, t);
    p.param[2] = v, p.nll = p.nll - rise.log, p.grad[2] = d.first;
    if (o.want & (CURVATURE | FISHER)) {
        p.curv[2] = d.second;
        p.curv_pair[1] = product(t.pull, t.share - C(1) / (v + C(1))) * -f.slope;
        p.curv_pair[2] = product(t.share, t.score) * s.slope * f.slope;
        p.fisher[2] = i.information * steep(f);
        p.fisher_pair[2] = C(-2) / ((C(1) + C(1) / v) * (v + C(3))) * s.slope * f.slope;
    }
    return p;
}

INLINE V student_t_base(Obs o)
{
    V half = C(0.5) * o.fixed.parameter;
    return half_log_2pi(o) - student_rise(half, log_called(half)).log;
}

LIKELIHOOD(student_t, 1, reals, student_t_base)
COLD_WHOLE(student_t, identity, student_t, 2, OWN)
LIKELIHOOD(student_t_df, 1, reals, half_log_2pi)
COLD_WHOLE(student_t_df, identity, student_t_df, 3, OWN)
