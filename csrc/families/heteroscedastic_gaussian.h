/* Gaussian whose mean and scale are both predicted: u = (y - mean) / scale,
 * nll = u^2 / 2 + log scale,  base = log(2 pi) / 2.  Nix & Weigend (1994).
 * With slope = d log scale / dz2: gradient (-u / scale, slope (1 - u^2)), Fisher information (1 / scale^2, 2 slope^2). */
INLINE Point location_scale_gaussian(const Obs *o, V y, V mean, Scale s)
{
    V u = (y - mean) * s.inverse * s.extra, u2 = u * u, per = s.inverse * s.extra;
    V rest = (C(1) - u) * (C(1) + u);
    return (Point){.mean = mean, .param = {mean, s.scale}, .variance = s.scale * s.scale,
                   .nll = C(0.5) * u * u + s.log_scale, .grad = {-u * s.inverse * s.extra, times_in(o, s.slope, rest)},
                   .curv = {per * per, s.bend + times(C(2) * s.slope * s.slope - s.bend, u2)},
                   .curv_pair = {C(2) * u * per * s.slope}, .fisher = {per * per, C(2) * steep(s)}};
}

INLINE Point heteroscedastic_gaussian(Obs o)
{
    return location_scale_gaussian(&o, o.y, o.z[0], scale_of(o.z[1], &o));
}

INLINE V half_log_2pi(Obs o) { (void)o; return C(0.9189385332046727418); }

LIKELIHOOD(heteroscedastic_gaussian, 1, reals, half_log_2pi)
HOT_LARGE_WHOLE(heteroscedastic_gaussian, identity, heteroscedastic_gaussian, odds_of_second, 2, OWN)
