"""From features to logits and means, without what `backward` would need."""

import numpy as np

from pyscratch import _native, _plan
from pyscratch._loss import Loss
from pyscratch.losses import Categorical

BLOCK = 1024  # rows at a time, so that the activations stay in cache


class Forward:
    """Logits of any rows: in C, with buffers of its own, where every layer is ours; through the layers otherwise."""

    def __init__(self, net, capacity):
        self.net, self.capacity, self.plan = net, capacity, None
        self.stages = list(_plan._stages(net.layers, training=False)) if all(map(_plan.is_native, net.layers)) else []
        if net.n_in is not None and self.stages:
            self.plan = _native.PredictionPlan(self.stages, net.n_in, net.dtype, capacity)

    def __call__(self, x, z):
        """Logits of the ready rows x into z; where z is None (the width is not known yet) they are returned."""
        if self.plan is not None:
            self.plan.logits(x, z)
            return z
        y = x
        for layer in self.net.layers:
            y = layer.forward(y)
        y = self.net._checked_logits(y, len(x))
        if z is None:
            return y
        z[...] = y
        return z


class Predictor:
    """`Network.predict` of a fixed number of rows, prepared once: for rows that come one or a few at a time.

    Where every layer and the loss are ours, a call is one call in C on buffers. It follows the network's weights, also
    while they change. It is not for two threads at a time.

    Attributes
    ----------
    x : ndarray (rows, n_in)
        The features, in the network's dtype: fill them and call without an argument, or hand them to the call.
    logits : ndarray (rows, width)
        Of the latest call.
    mean : ndarray (rows,), (rows, d) or (rows, K)
        What a call returns, in the shape of `Network.predict`: the same array each time, overwritten by the next call.
    """

    def __init__(self, net, rows):
        if net.n_in is None or net.width is None:
            raise ValueError("predictor needs a network whose layers say n_in and n_out: fit it first, or use predict")
        self.net = net
        self.x = np.zeros((rows, net.n_in), net.dtype)
        self.logits = np.zeros((rows, net.width), net.dtype)
        if isinstance(net.head, Loss):
            self.logits[...] = net.head._valid_logits(net.width)
        self.mean = np.array(net.head.mean(self.logits))  # of any logits in the domain: an array of the right shape
        self._forward, self._call = Forward(net, rows), None
        name = _mean_in_c(net.head)
        if self._forward.plan is not None and name:
            loss, stages = net.head, self._forward.stages
            call = _native.batch_call(
                loss, net.outputs, net.width, net.dtype, loss.target, None, None, None, **{name: self.mean}
            )
            plan = _native.PredictionPlan(stages, net.n_in, net.dtype, rows, call)
            self._call = plan.bind(self.x, self.logits, self._explain)

    def __call__(self, x=None):
        """The mean of the assumed distribution for the features x (rows, n_in), or (n_in,) if it was made for one row.

        NaN and infinities in x are not looked for: they give what the network makes of them. ValueError for another
        shape.
        """
        if x is not None:
            shape = x.shape if type(x) is np.ndarray else np.shape(x)
            if shape != self.x.shape and (shape != self.x.shape[1:] or len(self.x) != 1):
                raise ValueError(f"x must have the shape {self.x.shape}, got {shape}")
            self.x[...] = x
        if self._call is not None:
            self._call()
        else:
            self.mean[...] = self.net.head.mean(self._forward(self.x, self.logits))
        return self.mean

    def _explain(self, status):
        return self.net.head._explain(status, 0, self.logits, None, None)


def _mean_in_c(loss):
    """Which output of the C head is the mean; None where the mean is not computed by our own method."""
    if not isinstance(loss, Loss) or type(loss)._head is not _native.head:
        return None
    ours = {Loss.mean: "mean", Categorical.mean: "params"}
    return ours.get(type(loss).mean)
