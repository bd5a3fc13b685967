/* Gaussian with a constant variance v (the dispersion), identity link:
 * nll = (y - z)^2 / (2 v),  base = log(2 pi v) / 2,  curvature = 1 / v.  Bishop (2006), section 3.1.1. */
INLINE Point gaussian_point(Obs o)
{
    V r = o.z[0] - o.y, per = o.fixed.per_dispersion;
    return (Point){.mean = o.z[0], .nll = C(0.5) * r * r * per, .variance = o.fixed.dispersion,
                   .curv = {per}, .fisher = {per}};
}

INLINE V gaussian_base(V y, Fixed f) { (void)y; return C(0.5) * vlog(C(6.283185307179586477) * f.dispersion); }
