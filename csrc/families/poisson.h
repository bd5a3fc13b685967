/* Poisson, log link: mean = exp(z),  nll = mean - y z,  base = log y!,  curvature = mean.  McCullagh & Nelder (1989),
 * section 6.2.  A z of -infinity is a rate of exactly 0, under which y = 0 has nll 0: hence `times`. */
INLINE Point poisson_point(Obs o)
{
    V mean = vexp(o.z[0]);
    return (Point){.mean = mean, .nll = mean - times(o.y, o.z[0]), .variance = mean, .curv = {mean}, .fisher = {mean}};
}

INLINE V poisson_base(V y, Fixed f)
{
    (void)f;
    real part[LANES];
    int sign;
    for (int i = 0; i < LANES; i++) part[i] = (real)lgamma_r((double)lane(y, i) + 1.0, &sign);
    return load(part);
}
