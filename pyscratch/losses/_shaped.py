"""Families with a shape or a concentration that is a number or predicted."""

from collections import namedtuple
import math

import numpy as np

from pyscratch._checks import choice, positive
from pyscratch._loss import Loss
from pyscratch.losses._family import logit_of

POSITIVE = ("softplus", "exp", "squareplus")  # links of predicted shapes


class Shaped(Loss):
    """A family whose last parameter (a shape, a concentration) is a number, or None where the network predicts it.

    Such a family has two names in the C registry: ``likelihood`` where the number is given, ``free_likelihood`` else.
    """

    free_likelihood, given = "", ""  # given: the option that holds the number
    scale_links = POSITIVE

    def _freeze_shape(self, **options):
        number = options[self.given]
        if number is None:
            names = ("mean", self.given)
            vars(self).update(likelihood=self.free_likelihood, parameters=names, _tuple=namedtuple("Parameters", names))
            vars(self).update(_one_to_one=False, _start_is_exact=False)
        else:
            options[self.given] = positive(self.given, number)
        choice("scale_link", options["scale_link"], self.scale_links)
        self._freeze(**options)

    def _start_shape(self, shape):
        """The logits of a predicted shape or concentration."""
        return logit_of(self.scale_link, shape)

    def with_scale(self, z, y, weights=None):
        """The same family with the number that is most likely for these rows; itself where the network predicts it.

        It is sought from 1e-6 to 1e9, to 12 digits: where the derivative of the nll by its logarithm, which the family
        that predicts it knows, is 0.
        """
        if self._options[self.given] is None:
            return super().with_scale(z, y, weights)
        free = type(self)(**{**self._options, self.given: None, "scale_link": "exp"})
        number = most_likely(free, *self._used_rows(z, y, weights))
        return type(self)(**{**self._options, self.given: number})


def most_likely(free, z, y, w):
    """The best constant for the second block of the logits of ``free``, with the link "exp"; ``z`` are the others."""
    d = free.outputs(z.shape[1] * len(free.parameters) // (len(free.parameters) - 1))
    whole = np.concatenate([z[:, :d], np.zeros((len(z), d)), z[:, d:]], axis=1)

    def slope(log):
        whole[:, d : 2 * d] = log
        return float(free.grad(whole, y, weights=w, reduction="sum")[:, d : 2 * d].sum())

    return math.exp(root(slope, math.log(1e-6), math.log(1e9)))


def root(slope, low, high):
    """Where an increasing function crosses 0 between ``low`` and ``high`` (the end nearest to it if it does not).

    Regula falsi, with the Illinois rule that keeps both ends moving.
    """
    at_low, at_high = slope(low), slope(high)
    if at_low >= 0 or at_high <= 0:
        return low if at_low >= 0 else high
    side = 0
    for _ in range(200):
        middle = (low * at_high - high * at_low) / (at_high - at_low)
        if not low < middle < high:
            middle = (low + high) / 2
        at = slope(middle)
        if at == 0 or high - low <= 1e-13 * max(1.0, abs(middle)):
            break
        if at < 0:
            low, at_low, at_high, side = middle, at, at_high / 2 if side < 0 else at_high, -1
        else:
            high, at_high, at_low, side = middle, at, at_low / 2 if side > 0 else at_low, 1
    return middle


def lowest(function, low, high):
    """Where a function with one minimum between ``low`` and ``high`` has it, to half of its digits: golden section."""
    golden = (math.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > 1e-9 * max(1.0, abs(low)):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = function(right)
    return (low + high) / 2
