"""The twin of `pyscratch.Bernoulli`."""

from pyscratch import losses
from pyscratch.reference._functions import times
from pyscratch.reference._heads import MeanHead, residual, twin


@twin
class Bernoulli(MeanHead, losses.Bernoulli):
    """`pyscratch.Bernoulli` in NumPy."""

    canonical = "logit"

    def _sides(self, y):
        """Successes and failures."""
        keep, spread = 1 - self.smoothing, self.smoothing / 2
        return (y, 1 - y) if not self.smoothing else (keep * y + spread, keep * (1 - y) + spread)

    def _variance(self, z, mean):
        return mean * self._map.rest(z)

    def _nll(self, z, mean, y):
        yes, no = self._sides(y)
        return -times(yes, self._map.log_mean(z)), -times(no, self._map.log_rest(z))

    def _grad(self, z, mean, y):
        """The residual; with any other link d/dz of each term: mean · leverage is down, rest · leverage is up."""
        yes, no = self._sides(y)
        if self.link.name == self.canonical:
            return [residual(mean, yes, no, self._map.rest(z))]
        return [(times(no, self._map.down(z)), -times(yes, self._map.up(z)))]

    def _fisher(self, z, mean):
        if self.link.name == self.canonical:
            return [(mean * self._map.rest(z),)]
        return [(times(self._map.down(z), self._map.up(z)),)]

    def _curvature(self, z, mean, y):
        yes, no = self._sides(y)
        if self.link.name == self.canonical:
            return [((yes + no) * self._fisher(z, mean)[0][0],)]
        downs, ups = self._map.down_slope(z), self._map.up_slope(z)
        return [(*(times(no, term) for term in downs), *(-times(yes, term) for term in ups))]
