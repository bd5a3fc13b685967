"""The twin of `pyscratch.Binomial`."""

from pyscratch import losses
from pyscratch.reference._functions import log_factorial
from pyscratch.reference._heads import twin
from pyscratch.reference.bernoulli import Bernoulli


@twin
class Binomial(Bernoulli, losses.Binomial):
    """`pyscratch.Binomial` in NumPy."""

    def _sides(self, y):
        d = y.shape[1] // 2
        return y[:, :d], y[:, d:]

    def _nll(self, z, mean, y):
        yes, no = self._sides(y)
        return *super()._nll(z, mean, y), -log_factorial(yes + no), log_factorial(yes), log_factorial(no)
