/* Bernoulli, logit link, soft targets allowed: p = sigmoid(z),  nll = -y log p - (1 - y) log(1 - p),
 * curvature = p (1 - p).  With t = exp(-|z|) the nll is |z| times the mass on the less likely side plus log1p(t):
 * both terms are positive, so nothing cancels.  McCullagh & Nelder (1989), section 4.4. */
INLINE Point bernoulli_point(Obs o)
{
    V z = o.z[0];
    Logistic s = logistic(z);
    V unlikely = select(z >= C(0), C(1) - o.y, o.y);
    V spread = s.sigmoid * s.rest;
    return (Point){.mean = s.sigmoid, .rest = s.rest, .nll = times(abs_(z), unlikely) + s.log1p_t,
                   .variance = spread, .curv = {spread}, .fisher = {spread}};
}
