"""The twin of `pyscratch.LogNormal`."""

import numpy as np

from pyscratch import losses
from pyscratch.reference._heads import ScaledHead, families, twin


@twin
class LogNormal(ScaledHead, losses.LogNormal):
    """`pyscratch.LogNormal` in NumPy: the Gaussian of log y."""

    def _mean(self, z, p):
        return np.exp(p[0] + p[1] ** 2 / 2)

    def _variance(self, z, p):
        return np.exp(2 * p[0] + p[1] ** 2) * np.expm1(p[1] ** 2)

    @property
    def _gaussian(self):
        return families["HeteroscedasticGaussian"](**self.options)

    def _nll(self, z, p, y):
        return *self._gaussian._nll(z, p, np.log(y)), np.log(y)

    def _grad(self, z, p, y):
        return self._gaussian._grad(z, p, np.log(y))

    def _curvature(self, z, p, y):
        return self._gaussian._curvature(z, p, np.log(y))

    def _fisher(self, z, p):
        return self._gaussian._fisher(z, p)
