"""The best constant head: the logits that are most likely for all rows at once."""

import numpy as np


def best(loss, z, y, w, offset, low, high):
    """The best constant logits between ``low`` and ``high``, from ``z``, next to an offset or not.

    Newton's method with halved steps, where the curvature has a direction downwards on its other side (Nocedal & Wright
    2006, section 3.4). A logit at a limit that it would leave stays there while the others move.
    """
    d = loss._block_outputs(len(z))
    if d > 1:  # outputs are independent: logits i, i + d, i + 2 d, ... are those of output i
        parts = [None if offset is None else offset[:, i::d] for i in range(d)]
        each = [best(loss, z[i::d], y[:, i::d], w, parts[i], low[i::d], high[i::d]) for i in range(d)]
        return np.transpose(each).ravel()
    if offset is None:  # equal targets are one row
        y, rows = np.unique(y, axis=0, return_inverse=True)
        w = np.bincount(rows.ravel(), w)
    given = {"weights": w, "offset": offset}

    def value_at(z):
        return loss.nll(np.tile(z, (len(y), 1)), y, **given)

    def step_at(z):
        logits, step = np.tile(z, (len(y), 1)), np.zeros_like(z)
        grad = loss.grad(logits, y, **given, reduction="sum").sum(0)
        curvature = loss.curvature(logits, y, **given, block=True).sum(0)
        free = ~((z <= low) & (grad > 0) | (z >= high) & (grad < 0))
        step[free] = _downhill(curvature[np.ix_(free, free)], grad[free])
        return step

    def small(step):
        return np.all(np.abs(step) <= 1e-13 * (1 + np.abs(z)))

    value = value_at(z)
    for _ in range(100):
        step = step_at(z)
        rounding = 1e-13 * abs(value)  # the nll is flat at its minimum: the last half of z's digits is not in it
        while not (after := value_at(np.clip(z - step, low, high))) <= value + rounding and not small(step):
            step /= 2
        before, z, value = z, np.clip(z - step, low, high), after
        if small(z - before):
            break
    return z


def _downhill(curvature, grad):
    """Curvature⁻¹ · grad with the absolute eigenvalues, in units that make the diagonal 1; no part above 5."""
    unit = np.sqrt(np.abs(np.diag(curvature)))
    unit = np.where(unit > 0, unit, 1)
    values, vectors = np.linalg.eigh(curvature / np.outer(unit, unit))
    values = np.abs(values)
    kept = values > 1e-14 * values.max(initial=0)
    step = vectors[:, kept] @ ((vectors[:, kept].T @ (grad / unit)) / values[kept]) / unit
    return step / max(1, np.abs(step).max(initial=0) / 5)
