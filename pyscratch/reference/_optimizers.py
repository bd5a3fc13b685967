"""The twins of the optimizers."""

import numpy as np

from pyscratch import optimizers


class SGD(optimizers.SGD):
    """`pyscratch.SGD` in NumPy."""

    bind, clip = optimizers.Optimizer.bind, optimizers.Optimizer.clip

    def update(self, value, gradient, slots, step, rate):
        """One step in place; see `pyscratch.SGD`."""
        if slots:
            (velocity,) = slots
            velocity[...] = self.momentum * velocity + gradient
            gradient = gradient + self.momentum * velocity if self.nesterov else velocity
        value -= rate * gradient


class _Adam:
    bind, clip = optimizers.Optimizer.bind, optimizers.Optimizer.clip

    def update(self, value, gradient, slots, step, rate):
        """One step in place; see `pyscratch.Adam`."""
        m, v = slots
        correction1, correction2 = self.corrections(step)
        m[...] = self.beta1 * m + (1 - self.beta1) * gradient
        v[...] = self.beta2 * v + (1 - self.beta2) * gradient**2
        value -= rate * (m / correction1) / (np.sqrt(v / correction2) + self.epsilon)


class Adam(_Adam, optimizers.Adam):
    """`pyscratch.Adam` in NumPy."""


class AdamW(_Adam, optimizers.AdamW):
    """`pyscratch.AdamW` in NumPy."""


class LBFGS(optimizers.LBFGS):
    """`pyscratch.LBFGS`: scipy's, of losses and gradients in NumPy."""
