"""Empirical orthogonal functions against numpy's singular value decomposition."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from parampi.basis import make_basis, mode_variance
from parampi.errors import ConfigError
from tests.basis.cases import F64, draw

SHAPE = (2, 3, 4)


@pytest.fixture
def samples():
    """With clearly different variances along random directions."""
    directions = torch.linalg.qr(draw(24, 24, seed=5)).Q
    return (draw(30, 24) * 0.7 ** torch.arange(24) @ directions.T + 2).reshape(30, *SHAPE)


def test_vectors_are_those_of_numpy(samples):
    basis = make_basis("eof", SHAPE, samples=samples, rank=6)
    flat = samples.flatten(1).numpy()
    _, size, vectors = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    ours = basis.vectors.numpy()
    signs = np.sign((ours * vectors[:6]).sum(1, keepdims=True))
    np.testing.assert_allclose(ours, signs * vectors[:6], rtol=0, atol=1e-11)
    assert (np.take_along_axis(ours, np.abs(ours).argmax(1)[:, None], 1) > 0).all()
    variance = mode_variance(basis, samples).variance[:6]
    np.testing.assert_allclose(variance.numpy(), size[:6] ** 2 / (len(flat) - 1), rtol=1e-11)


def test_a_model_is_low_rank_plus_a_scalar(samples):
    basis = make_basis("eof", SHAPE, samples=samples, rank=3)
    assert basis.shells == 4
    *responses, rest = responses_of = [0.9, 0.5, 0.2, 0.1]
    x = draw(5, 24)
    projections = [x @ torch.outer(v, v) for v in basis.vectors]
    expected = sum(r * p for r, p in zip(responses, projections, strict=True)) + rest * (x - sum(projections))
    response = basis.spread(torch.tensor(responses_of, dtype=F64))
    applied = basis.inverse(response * basis.forward(x.reshape(-1, *SHAPE)))
    assert_close(applied.flatten(1), expected, rtol=0, atol=1e-13)


def test_vectors_of_single_precision_are_made_orthonormal(samples):
    exact = make_basis("eof", SHAPE, samples=samples, rank=5)
    basis = make_basis("eof", SHAPE, vectors=exact.vectors.float().reshape(5, *SHAPE))
    assert_close(basis.vectors @ basis.vectors.T, torch.eye(5, dtype=F64), rtol=0, atol=4e-15)
    assert_close(basis.vectors, exact.vectors, rtol=0, atol=1e-6)


def test_as_many_vectors_as_numbers():
    vectors = torch.linalg.qr(draw(24, 24)).Q.reshape(24, *SHAPE)
    basis = make_basis("eof", SHAPE, vectors=vectors)
    assert basis.modes == 48 and float(basis.noise[24:].max()) < 1e-14
    x = draw(2, *SHAPE)
    assert_close(basis.inverse(basis.forward(x)), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either samples .* and a rank, or vectors"),
        ({"samples": draw(5, *SHAPE)}, "either samples"),
        ({"samples": draw(5, *SHAPE), "rank": 2, "vectors": draw(2, *SHAPE)}, "either samples"),
        ({"samples": draw(5, *SHAPE), "rank": 5}, "rank = 5 is not possible with 5 samples of 24 numbers.*at most 4"),
        ({"samples": draw(99, *SHAPE), "rank": 25}, "at most 24"),
        ({"samples": draw(5, *SHAPE), "rank": 0}, "rank = 0"),
        ({"samples": draw(1, *SHAPE), "rank": 1}, "give more samples"),
        ({"samples": draw(5, 2, 3, 5), "rank": 1}, r"samples of shape \(5, 2, 3, 5\); expected \(N, 2, 3, 4\)"),
        ({"vectors": draw(*SHAPE)}, r"vectors of shape \(2, 3, 4\); expected \(rank, 2, 3, 4\)"),
        ({"vectors": draw(2, *SHAPE)}, "orthonormalise them, for example by torch.linalg.qr"),
        ({"vectors": draw(25, *SHAPE)}, "rank from 1 to 24"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(ConfigError, match=message):
        make_basis("eof", SHAPE, **options)
