"""Gaussian process regression whose kernel is learned from the data; imports numpy and scipy only.

Shapes: N observations, M candidates, D columns of an input (the last T of which may
have a trend), G groups of columns that share a length scale.

The covariance of two inputs is `linear + smooth + noise`:

    linear  a * (t . t' / T + 1), where t are the last T columns of x, in which a trend is plausible
    smooth  b * exp(-1/2 * sum over columns of ((x - x') / length[group])^2)
    noise   c between an observation and itself

`a`, `b`, `c` and the length scale of every group are maximum a posteriori estimates (Rasmussen and Williams, Gaussian
Processes for Machine Learning 2006, equations 5.8 and 5.9). Their priors are wide and do not depend on the task; the
prior of the length scales grows with the number of columns, so that many columns do no harm (Hvarfner, Hellsten and
Nardi, Vanilla Bayesian Optimization Performs Great in High Dimensions, 2024).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, lapack, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

# Means and standard deviations of the normal priors of the logarithms; inputs and targets have mean 0 and variance 1.
LINEAR_PRIOR = (0.0, 2.0)
SMOOTH_PRIOR = (0.0, 2.0)
NOISE_PRIOR = (-4.0, 2.0)
# The mode of the length scales' prior, sqrt(2) - 3 for the unit interval, for inputs of variance 1 (factor sqrt(12)).
LENGTH_MODE, LENGTH_DEVIATION = 2.0**0.5 - 3.0 + 0.5 * log(12.0), 3.0**0.5
LOWEST, HIGHEST = -14.0, 10.0  # bounds of a logarithm during the fit
SHORTEST = -6.0  # log length scale: below it, different inputs are no more independent, but rounding is worse
JITTER = 1e-8  # always added to the diagonal
# Further jitter if rounding makes a covariance indefinite, as shares of its mean diagonal: the first that works.
FURTHER_JITTER = tuple(10.0**exponent for exponent in range(-12, 4))
INDEFINITE = 1e10  # cost of a kernel with an indefinite covariance
EXACT_BELOW = 100.0  # squared distances above this contribute at most exp(-50)
EXACT_FROM = 1e4  # sum of two squared norms from which rounding matters in their difference
PAIRS_AT_ONCE = 1 << 14  # of inputs, so that their differences need little memory
ITERATIONS = 40
FEW = 64  # observations up to which every fit also starts from the prior


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A learned kernel; `theta` holds logarithms: linear, smooth, noise, then a length scale for each of G groups."""

    theta: Array
    groups_D: NDArray[np.intp]
    trending: int  # T

    def covariance(self, left_ND: Array, right_MD: Array) -> Array:
        """Return the covariance [N, M] of two sets of inputs, without noise."""
        linear, smooth = np.exp(self.theta[:2])
        inverse_D = np.exp(-self.theta[3:])[self.groups_D]
        return self.trend(left_ND, right_MD, linear) + smooth * np.exp(
            -0.5 * _squared_distance(left_ND * inverse_D, right_MD * inverse_D)
        )

    def variance(self, inputs_MD: Array) -> Array:
        """Return the prior variance [M] of the function at the inputs, without noise."""
        linear, smooth = np.exp(self.theta[:2])
        trends_MT = inputs_MD[:, inputs_MD.shape[1] - self.trending :]
        return linear * (np.einsum("mt,mt->m", trends_MT, trends_MT) / max(self.trending, 1) + 1.0) + smooth

    def trend(self, left_ND: Array, right_MD: Array, weight: float) -> Array:
        """Return the linear part [N, M] of the covariance."""
        first = left_ND.shape[1] - self.trending
        return weight * (left_ND[:, first:] @ right_MD[:, first:].T / max(self.trending, 1) + 1.0)

    @property
    def noise(self) -> float:
        """The variance of an observation around the function."""
        return float(np.exp(self.theta[2])) + JITTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """The posterior given N observations; `predict` returns the function's mean and standard deviation at any input."""

    kernel: Kernel
    inputs_ND: Array
    factor_NN: Array
    weights_N: Array

    def mean(self, inputs_MD: Array) -> Array:
        """Return the mean [M] of the function."""
        return self.kernel.covariance(inputs_MD, self.inputs_ND) @ self.weights_N

    def predict(self, inputs_MD: Array) -> tuple[Array, Array]:
        """Return the mean [M] and the standard deviation [M] of the function, without noise."""
        covariance_NM = self.kernel.covariance(self.inputs_ND, inputs_MD)
        mean_M = covariance_NM.T @ self.weights_N
        solved_NM = solve_triangular(self.factor_NN, covariance_NM, lower=True, check_finite=False)
        variance_M = self.kernel.variance(inputs_MD) - np.einsum("nm,nm->m", solved_NM, solved_NM)
        return mean_M, np.sqrt(np.maximum(variance_M, 1e-12))


def condition(kernel: Kernel, inputs_ND: Array, targets_N: Array) -> Posterior:
    """Return the posterior of `kernel` given observations."""
    covariance_NN = kernel.covariance(inputs_ND, inputs_ND)
    covariance_NN.flat[:: len(inputs_ND) + 1] += kernel.noise
    factor_NN = cholesky(covariance_NN)
    weights_N = cho_solve((factor_NN, True), targets_N, check_finite=False)
    return Posterior(kernel=kernel, inputs_ND=inputs_ND, factor_NN=factor_NN, weights_N=weights_N)


def cholesky(covariance_NN: Array) -> Array:
    """Return the lower Cholesky factor of a covariance, with the least further jitter that makes it definite.

    Rounding makes it indefinite if many inputs are nearly equal and the noise is small compared with the variance.
    """
    diagonal_N = np.diag(covariance_NN).copy()
    for share in (0.0, *FURTHER_JITTER):
        jittered_NN = covariance_NN.copy()
        jittered_NN.flat[:: len(diagonal_N) + 1] += share * diagonal_N.mean()
        factor_NN, failed = lapack.dpotrf(jittered_NN, lower=1, clean=1)  # pyright: ignore[reportAttributeAccessIssue]
        if not failed:
            return factor_NN
    return np.diag(np.sqrt(diagonal_N))  # as if the observations were independent


def fit(
    inputs_ND: Array,
    targets_N: Array,
    groups_D: NDArray[np.intp],
    *,
    trending: int,
    start: Kernel | None = None,
) -> Kernel:
    """Return the most probable kernel for inputs and targets of mean 0 and variance 1.

    `groups_D` is the index of each column's group. The optimisation starts from the means of the priors and from
    `start`. With more than `FEW` observations the kernel changes little from one call to the next, so `start` alone and
    fewer iterations are enough.
    """
    count = int(groups_D.max()) + 1
    length = LENGTH_MODE + 0.5 * log(len(groups_D))
    mean = np.array([LINEAR_PRIOR[0], SMOOTH_PRIOR[0], NOISE_PRIOR[0], *[length] * count])
    deviation = np.array([LINEAR_PRIOR[1], SMOOTH_PRIOR[1], NOISE_PRIOR[1], *[LENGTH_DEVIATION] * count])

    def cost(theta: Array) -> tuple[float, Array]:
        value, gradient = negative_log_evidence(
            Kernel(theta=theta, groups_D=groups_D, trending=trending), inputs_ND, targets_N
        )
        scaled = (theta - mean) / deviation
        return value + 0.5 * float(scaled @ scaled), gradient + scaled / deviation

    starts, iterations = [mean], ITERATIONS
    if start is not None and np.array_equal(start.groups_D, groups_D):
        few = len(targets_N) <= FEW
        starts, iterations = ([start.theta, mean], ITERATIONS) if few else ([start.theta], ITERATIONS // 4)
    bounds = [(LOWEST, HIGHEST)] * len(mean)

    def minimised(begin: Array) -> Any:
        return minimize(cost, begin, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": iterations})

    best = min((minimised(begin) for begin in starts), key=lambda each: each.fun)
    if best.fun >= INDEFINITE:  # `start` has become indefinite with the new observations
        best = minimised(mean)
    theta = best.x.copy()
    theta[3:] = np.maximum(theta[3:], SHORTEST)
    return Kernel(theta=theta, groups_D=groups_D, trending=trending)


def negative_log_evidence(kernel: Kernel, inputs_ND: Array, targets_N: Array) -> tuple[float, Array]:
    """Return -log p(targets | inputs, kernel) and its gradient with respect to `kernel.theta`.

    If rounding makes the covariance indefinite, the value is `INDEFINITE` and the gradient 0.
    """
    size, columns = inputs_ND.shape
    linear, smooth, _ = np.exp(kernel.theta[:3])
    inverse_D = np.exp(-kernel.theta[3:])[kernel.groups_D]
    scaled_ND = inputs_ND * inverse_D
    linear_NN = kernel.trend(inputs_ND, inputs_ND, linear)
    smooth_NN = smooth * np.exp(-0.5 * _squared_distance(scaled_ND, scaled_ND))
    covariance_NN = linear_NN + smooth_NN
    covariance_NN.flat[:: size + 1] += kernel.noise
    factor_NN, failed = lapack.dpotrf(covariance_NN, lower=1)  # pyright: ignore[reportAttributeAccessIssue]
    if failed:
        return INDEFINITE, np.zeros_like(kernel.theta)
    weights_N, _ = lapack.dpotrs(factor_NN, targets_N, lower=1)  # pyright: ignore[reportAttributeAccessIssue]
    value = 0.5 * float(targets_N @ weights_N) + float(np.log(np.diag(factor_NN)).sum())
    value += 0.5 * size * float(np.log(2 * np.pi))

    inverse_NN, _ = lapack.dpotri(factor_NN, lower=1)  # pyright: ignore[reportAttributeAccessIssue]
    inverse_NN = np.tril(inverse_NN) + np.tril(inverse_NN, -1).T
    slope_NN = inverse_NN - np.outer(weights_N, weights_N)  # d value / d covariance, twice
    smooth_slope_NN = slope_NN * smooth_NN
    # sum over pairs of slope * (x - x')^2, column by column, as two products instead of N * N * D terms
    by_column_D = smooth_slope_NN.sum(axis=1) @ scaled_ND**2 - np.einsum(
        "nd,nd->d", scaled_ND, smooth_slope_NN @ scaled_ND
    )
    gradient = np.empty_like(kernel.theta)
    gradient[0] = 0.5 * float(np.vdot(slope_NN, linear_NN))
    gradient[1] = 0.5 * float(smooth_slope_NN.sum())
    gradient[2] = 0.5 * float(np.trace(slope_NN)) * float(np.exp(kernel.theta[2]))
    gradient[3:] = np.bincount(kernel.groups_D, weights=by_column_D, minlength=len(gradient) - 3)
    assert columns == len(kernel.groups_D), "a group for every column"
    return value, gradient


def _squared_distance(left_ND: Array, right_MD: Array) -> Array:
    """Return the squared distances [N, M] of two sets of inputs.

    |x|^2 + |y|^2 - 2 x.y needs only a matrix product, but loses the digits of a small distance between large inputs;
    such pairs are computed again from their differences.
    """
    norms_NM = np.einsum("nd,nd->n", left_ND, left_ND)[:, None] + np.einsum("md,md->m", right_MD, right_MD)[None, :]
    squared_NM = norms_NM - 2.0 * (left_ND @ right_MD.T)
    if norms_NM.size and norms_NM.max() >= EXACT_FROM:
        rows, columns = np.nonzero((squared_NM < EXACT_BELOW + 1e-12 * norms_NM) & (norms_NM >= EXACT_FROM))
        for first in range(0, len(rows), PAIRS_AT_ONCE):
            n, m = rows[first : first + PAIRS_AT_ONCE], columns[first : first + PAIRS_AT_ONCE]
            difference_PD = left_ND[n] - right_MD[m]
            squared_NM[n, m] = np.einsum("pd,pd->p", difference_PD, difference_PD)
    return np.maximum(squared_NM, 0.0)
