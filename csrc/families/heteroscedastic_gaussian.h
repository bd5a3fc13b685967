/* Gaussian whose mean and scale are both predicted: mean = z1, scale = h(z2) + min_scale with h one of links.h,
 * nll = u^2 / 2 + log scale with u = (y - mean) / scale,  base = log(2 pi) / 2.  Nix & Weigend (1994).
 * With slope = d log scale / dz2: gradient (-u / scale, slope (1 - u^2)), Fisher information (1 / scale^2, 2 slope^2). */
INLINE Point heteroscedastic_gaussian(Obs o, Scale s)
{
    V u = (o.y - o.z[0]) * s.inverse * s.extra, u2 = u * u, per = s.inverse * s.extra;
    V rest = (C(1) - u) * (C(1) + u);
    return (Point){.mean = o.z[0], .param = {o.z[0], s.scale}, .variance = s.scale * s.scale,
                   .nll = C(0.5) * u2 + s.log_scale, .grad = {-u * s.inverse * s.extra, s.slope * rest},
                   .curv = {per * per, times(s.bend, rest) + C(2) * s.slope * s.slope * u2},
                   .fisher = {per * per, C(2) * s.slope * s.slope}};
}

INLINE Point heteroscedastic_gaussian_softplus(Obs o)
{
    return heteroscedastic_gaussian(o, softplus_scale(o.z[1], o.fixed.min_scale));
}

INLINE V half_log_2pi(V y, Fixed f) { (void)y, (void)f; return C(0.9189385332046727418); }
