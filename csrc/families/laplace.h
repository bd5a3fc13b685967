/* Laplace with location and scale b, u = |y - location| / b:  nll = u + log b,  base = log 2. The location is the
 * median. Where y is the location the nll has a kink, and its slope is taken to be 0: the second derivative is 0
 * wherever it exists, the Fisher information, the variance of the gradient, is 1 / b^2.
 * Johnson, Kotz & Balakrishnan (1995), chapter 24. */
INLINE Point laplace(Obs o)
{
    Scale s = scale_of(o.z[1], &o);
    V r = o.y - o.z[0], per = s.inverse * s.extra, u = abs_(r) * s.inverse * s.extra;
    V side = select(abs_(r) > C(0), copysign_(C(1), r), r);
    return (Point){.mean = o.z[0], .param = {o.z[0], s.scale}, .variance = C(2) * s.scale * s.scale,
                   .nll = u + s.log_scale, .grad = {-side * s.inverse * s.extra, times(s.slope, C(1) - u)},
                   .curv = {C(0), s.bend + times(steep(s) - s.bend, u)}, .curv_pair = {side * per * s.slope},
                   .fisher = {per * per, steep(s)}};
}

INLINE V log_2(Obs o) { (void)o; return C(0.69314718055994530942); }

LIKELIHOOD(laplace, 1, reals, log_2)
COLD_WHOLE(laplace, identity, laplace, 2, OWN)
