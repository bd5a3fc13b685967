"""Families whose second logit is a scale."""

from pyscratch._checks import choice, positive
from pyscratch._loss import Loss
from pyscratch.losses._shaped import POSITIVE


class Scaled(Loss):
    """A family with logits [location of each output, scale of each output], and nothing else to choose than the scale's
    link and its floor."""

    links, parameters = ("identity",), ("location", "scale")
    scale_links = POSITIVE

    def __init__(self, scale_link="softplus", min_scale=0.0):
        self._freeze(
            scale_link=choice("scale_link", scale_link, self.scale_links),
            min_scale=positive("min_scale", min_scale, zero=True),
        )

    def _fields(self):
        return {"min_scale": self.min_scale}
