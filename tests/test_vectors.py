"""Values and gradients that were computed in 50-digit arithmetic, independently of this code."""

import numpy as np
import pytest

from pyscratch import losses, reference

VECTORS = [  # family, options, logits, y, nll with all constants, gradient; those far from 0 fail in naive code
    ("Bernoulli", {}, [-40.0], 1, 40.0, [-1.0]),
    ("Bernoulli", {}, [0.7], 0.3, 0.89318604888546, [0.3681877721682]),
    ("Categorical", {}, [1000.0, 0.0, -1000.0], 2, 2000.0, [1.0, 0.0, -1.0]),
    ("Gaussian", {}, [0.2], 0.9, 1.1639385332047, [-0.7]),
    ("HeteroscedasticGaussian", {}, [0.2, -0.4], 0.9, 1.1823941884251, [-2.659729593428, -0.6741617780745]),
    ("HeteroscedasticGaussian", {}, [0.2, -40.0], 0.2, -39.081061466795, [0.0, 1.0]),
    ("Beta", {}, [0.3, 1.2], 0.37, 0.26756853208086, [0.3997558100924, -0.2752223669446]),
    (
        "StudentT", {"scale_link": "exp"}, [0.2, -0.3, 1.1], 0.9,
        1.2217369211095, [-1.310557039462, 0.08261007237682, -0.1471814005295],
    ),
    (
        "GaussianMixture",
        {"components": 3, "scale_link": "exp"},
        [0.1, -0.4, 0.9, 0.2, 1.1, -0.7, -0.3, 0.2, 0.5],
        0.9,
        1.4753942861449,
        [
            -0.1322712779693, -0.06477321099149, 0.1970444889608, -0.5015540811001, 0.02990307078467, -0.2258618286958,
            0.04213888014162, 0.2170700835025, 0.02234363951567,
        ],
    ),
    ("Beta", {}, [0.3, 1.2], 0.37, 0.26756853208086, [0.3997558100924, -0.2752223669446]),
    (
        "StudentT", {"scale_link": "exp"}, [0.2, -0.3, 1.1], 0.9,
        1.2217369211095, [-1.310557039462, 0.08261007237682, -0.1471814005295],
    ),
    ("Poisson", {}, [0.7], 3, 1.7055121766985, [-0.9862472925295]),
    ("Poisson", {}, [-60.0], 0, 8.7565107626965e-27, [8.756510762697e-27]),
]  # fmt: skip


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v[0]}{v[2]}")
@pytest.mark.parametrize("module", [losses, reference], ids=["native", "reference"])
def test_vector(module, vector, dtype):
    name, options, z, y, nll, grad = vector
    loss = module.families[name](**options)
    rel = 1e-12 if dtype == np.float64 else 2e-6
    value, gradient = loss.nll_and_grad(np.array([z], dtype), np.array([y]))
    assert value == pytest.approx(nll, rel=rel)
    assert gradient[0] == pytest.approx(grad, rel=rel, abs=0)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v[0]}{v[2]}")
def test_vector_on_every_instruction_set(isa, vector, dtype):
    name, options, z, y, nll, grad = vector
    rel = 1e-12 if dtype == np.float64 else 2e-6
    for rows in (1, 5, 40):
        value, gradient = losses.families[name](**options).nll_and_grad(
            np.array([z] * rows, dtype), np.array([y] * rows), reduction="none"
        )
        assert value == pytest.approx(np.full(rows, nll), rel=rel)
        assert gradient == pytest.approx(np.array([grad] * rows), rel=rel, abs=0)
