"""The gradient of the evidence, the textbook posterior, relevance of columns, and ill-conditioned data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from archsearch.search.samplers.gaussian_process import (
    LOWEST,
    SHORTEST,
    Kernel,
    cholesky,
    condition,
    fit,
    negative_log_evidence,
)


def kernel_of(*theta: float, groups: tuple[int, ...] = (0, 0, 1)) -> Kernel:
    return Kernel(theta=np.array(theta), groups_D=np.array(groups), trending=2)


@pytest.mark.parametrize(("seed", "trending"), [(0, 4), (1, 4), (2, 2), (3, 1), (4, 0)])
def test_gradient_is_that_of_the_value(seed: int, trending: int) -> None:
    rng = np.random.default_rng(seed)
    inputs_ND, targets_N, groups_D = rng.normal(size=(15, 4)), rng.normal(size=15), np.array([0, 1, 1, 2])
    theta = rng.normal(size=6)

    def value(theta: np.ndarray) -> float:
        return negative_log_evidence(Kernel(theta=theta, groups_D=groups_D, trending=trending), inputs_ND, targets_N)[0]

    _, gradient = negative_log_evidence(Kernel(theta=theta, groups_D=groups_D, trending=trending), inputs_ND, targets_N)
    expected = np.asarray(approx_fprime(theta, value, 1e-6), dtype=float)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4)


def test_value_is_the_density_of_a_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    inputs_ND, targets_N, kernel = rng.normal(size=(6, 3)), rng.normal(size=6), kernel_of(0.1, -0.2, -1.0, 0.3, 0.5)
    covariance_NN = kernel.covariance(inputs_ND, inputs_ND) + kernel.noise * np.eye(6)
    _, logarithm = np.linalg.slogdet(2 * np.pi * covariance_NN)
    expected = 0.5 * (logarithm + targets_N @ np.linalg.solve(covariance_NN, targets_N))
    assert negative_log_evidence(kernel, inputs_ND, targets_N)[0] == pytest.approx(expected)


def test_posterior_is_that_of_the_textbook() -> None:
    rng = np.random.default_rng(1)
    inputs_ND, targets_N, other_MD = rng.normal(size=(7, 3)), rng.normal(size=7), rng.normal(size=(4, 3))
    kernel = kernel_of(0.0, 0.5, -2.0, 0.2, -0.1)
    noisy_NN = kernel.covariance(inputs_ND, inputs_ND) + kernel.noise * np.eye(7)
    cross_MN = kernel.covariance(other_MD, inputs_ND)
    variance_MM = kernel.covariance(other_MD, other_MD) - cross_MN @ np.linalg.solve(noisy_NN, cross_MN.T)
    mean_M, deviation_M = condition(kernel, inputs_ND, targets_N).predict(other_MD)
    np.testing.assert_allclose(mean_M, cross_MN @ np.linalg.solve(noisy_NN, targets_N))
    np.testing.assert_allclose(deviation_M, np.sqrt(np.diag(variance_MM)))


def test_without_noise_the_mean_goes_through_the_observations() -> None:
    rng = np.random.default_rng(2)
    inputs_ND = rng.normal(size=(8, 3))
    targets_N = np.sin(inputs_ND[:, 0])
    posterior = condition(kernel_of(-1.0, 0.0, -14.0, 0.0, 0.0), inputs_ND, targets_N)
    np.testing.assert_allclose(posterior.mean(inputs_ND), targets_N, atol=1e-3)


def test_equal_inputs_without_noise_give_finite_predictions() -> None:
    inputs_ND = np.zeros((50, 3))
    posterior = condition(kernel_of(8.0, 8.0, -14.0, 0.0, 0.0), inputs_ND, np.linspace(-1, 1, 50))
    mean_M, deviation_M = posterior.predict(inputs_ND[:1])
    assert np.isfinite(mean_M).all()
    assert np.isfinite(deviation_M).all()


@pytest.mark.parametrize("seed", range(8))
def test_a_kernel_at_its_lower_bounds_conditions_on_designs_with_equal_features(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features_NF = rng.normal(size=(40, 12))[rng.integers(0, 40, 400)]
    inputs_ND = np.hstack([rng.integers(0, 3, (400, 4)).astype(float), features_NF])
    inputs_ND = (inputs_ND - inputs_ND.mean(axis=0)) / inputs_ND.std(axis=0)
    groups_D = np.array([0, 0, 1, 1] + [2] * 12)
    kernel = Kernel(theta=np.array([0.0, 0.0, LOWEST, 8.0, 8.0, LOWEST]), groups_D=groups_D, trending=12)
    mean_M, deviation_M = condition(kernel, inputs_ND, rng.normal(size=400)).predict(inputs_ND)
    assert np.isfinite(mean_M).all()
    assert np.isfinite(deviation_M).all()


def test_small_distances_between_large_inputs_keep_their_digits() -> None:
    inputs_ND = np.array([[1e6, 1.0, 0.0], [1e6 + 1e-3, 1.0, 0.0], [-1e6, 2.0, 0.0]])
    kernel = kernel_of(-14.0, 0.0, -14.0, 0.0, 0.0)
    smooth_NN = kernel.covariance(inputs_ND, inputs_ND) - kernel.trend(inputs_ND, inputs_ND, np.exp(-14.0))
    assert smooth_NN[0, 1] == pytest.approx(np.exp(-0.5 * 1e-6), abs=1e-9)
    assert smooth_NN[0, 0] == pytest.approx(1.0, abs=1e-12)
    assert smooth_NN[0, 2] == 0.0


def test_an_indefinite_covariance_gets_the_least_jitter_that_makes_it_definite() -> None:
    definite_NN = np.array([[2.0, 1.0], [1.0, 2.0]])
    np.testing.assert_array_equal(cholesky(definite_NN), np.linalg.cholesky(definite_NN))
    indefinite_NN = np.array([[1.0, 1.0 + 1e-7], [1.0 + 1e-7, 1.0]])
    factor_NN = cholesky(indefinite_NN)
    np.testing.assert_allclose(factor_NN @ factor_NN.T, indefinite_NN, atol=2e-6)
    assert np.isfinite(cholesky(np.array([[1.0, 50.0], [50.0, 1.0]]))).all()


def test_a_fit_whose_start_is_indefinite_starts_from_the_prior() -> None:
    rng = np.random.default_rng(6)
    inputs_ND = 1e4 * np.repeat(rng.normal(size=(35, 2)), 2, axis=0)
    targets_N, groups_D = np.repeat(rng.normal(size=35), 2), np.array([0, 1])
    start = Kernel(theta=np.array([10.0, 10.0, -14.0, 10.0, 10.0]), groups_D=groups_D, trending=1)
    assert negative_log_evidence(start, inputs_ND, targets_N)[0] == 1e10
    kernel = fit(inputs_ND, targets_N, groups_D, trending=1, start=start)
    assert negative_log_evidence(kernel, inputs_ND, targets_N)[0] < 1e10


def test_learnt_lengths_have_a_lower_bound() -> None:
    rng = np.random.default_rng(7)
    inputs_ND = rng.normal(size=(30, 2))
    kernel = fit(inputs_ND, rng.choice([-1.0, 1.0], 30), np.array([0, 1]), trending=0)
    assert (kernel.theta[3:] >= SHORTEST).all()


def test_an_irrelevant_column_gets_a_longer_length_than_a_relevant_one() -> None:
    rng = np.random.default_rng(3)
    inputs_ND = rng.normal(size=(60, 2))
    kernel = fit(inputs_ND, np.sin(2 * inputs_ND[:, 0]), np.array([0, 1]), trending=1)
    assert kernel.theta[4] > kernel.theta[3] + 1.0


def test_noise_is_learnt() -> None:
    rng = np.random.default_rng(4)
    inputs_ND, groups_D = rng.normal(size=(120, 1)), np.array([0])
    exact_N = inputs_ND[:, 0]
    noisy_N = (exact_N + rng.normal(size=120)) / np.sqrt(2)
    assert fit(inputs_ND, exact_N, groups_D, trending=1).noise < 0.01
    assert fit(inputs_ND, noisy_N, groups_D, trending=1).noise == pytest.approx(0.5, rel=0.4)


def test_a_start_of_other_columns_is_not_used() -> None:
    rng = np.random.default_rng(5)
    inputs_ND, targets_N = rng.normal(size=(10, 2)), rng.normal(size=10)
    other = kernel_of(0.0, 0.0, 0.0, 0.0, 0.0)
    without = fit(inputs_ND, targets_N, np.array([0, 1]), trending=1)
    np.testing.assert_array_equal(
        fit(inputs_ND, targets_N, np.array([0, 1]), trending=1, start=other).theta, without.theta
    )
