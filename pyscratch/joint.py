"""The joint distribution of several targets that are independent given the logits: what a `Product` promises."""

from functools import cached_property

import numpy as np

from pyscratch.distributions import Distribution


class Joint(Distribution):
    """Targets of several heads side by side; ``parts`` are the distributions of the heads, in their order.

    ``mean``, ``variance`` and ``std`` (n, columns) have the heads' columns side by side, K for classes; ``sample`` has
    those of y, labels in one column, and so has ``mode``. ``log_prob`` and ``entropy`` (n,) are of a row's targets
    together.
    There is no cdf of them all: cdf, quantile, interval, and diagnostics that need one, are for ``parts``, with the
    targets of `Product.split`.
    """

    ordered = False

    @cached_property
    def parts(self):
        """The heads' distributions."""
        z = self.z.reshape(len(self), -1)
        return tuple(
            part.head.distribution_class(part.head.plain, np.ascontiguousarray(z[:, part.logits]), self._mine(part))
            for part in self.loss.parts
        )

    def _mine(self, part):
        return self.offset if np.ndim(self.offset) == 0 else np.reshape(self.offset, (len(self), -1))[:, part.offset]

    @property
    def mode(self):
        """The parts' modes side by side, a class in one column."""
        return np.concatenate([each.mode.reshape(len(self), -1) for each in self.parts], axis=1)

    @property
    def entropy(self):
        """The sum of the parts' entropies (n,)."""
        return sum(each.entropy.reshape(len(self), -1).sum(1) for each in self.parts)

    def sample(self, rng=None, size=None):
        """Draw targets: (n, columns of y), or ``size`` (an int or a tuple) times that. See `Distribution.sample`."""
        rng = np.random.default_rng(rng)
        size = () if size is None else (size,) if isinstance(size, (int, np.integer)) else tuple(size)
        drawn = [each.sample(rng, size) for each in self.parts]
        return np.concatenate([each.reshape(*size, len(self), -1) for each in drawn], axis=-1)

    def _of_parts(self, *_):
        raise NotImplementedError(
            "several targets have no common order: ask parts, as in d.parts[0].cdf(loss.split(y)[0])"
        )

    cdf = sf = quantile = _observed = _of_parts

    def interval(self, coverage=0.9):
        """There is none: ask ``parts``."""
        return self._of_parts()
