"""Counts: parameters and multiply-accumulates of one layer.

A MAC is one multiplication with its addition. Convolutions and dense layers have MACs; biases,
norms, activations, pools and merges count nothing, as in pycls (Radosavovic et al., CVPR 2020)
and fvcore, which call the same number "FLOPs"; torch's `FlopCounterMode` gives exactly twice it.
Parameters are what an optimiser trains: weights, biases, scales and shifts, not running means. Weights that are tied
to others are not counted again; the MACs that they take part in are.
This module imports the plan only.
"""

from __future__ import annotations

from archsearch.design.plan import Conv, Linear, Norm, Symmetry

PARAMETERS_PER_NORM_CHANNEL = 2
"""A scale and a shift, for every kind of norm."""

BYTES_PER_ACTIVATION = 4
"""float32, the precision that memory is stated in."""


def conv_parameters(conv: Conv) -> int:
    """Return how many weights, and biases where it has them, `conv` holds: out x in / groups x kernel^2 (+ out).

    Half of them where its weights are tied; biases of pairs too.
    """
    kernel = conv.kernel
    weights = conv.out_channels * (conv.in_channels // conv.groups) * kernel * kernel
    return _free(weights, conv.out_channels if conv.bias else 0, conv.symmetry)


def norm_parameters(norm: Norm) -> int:
    """Return how many scales and shifts `norm` holds."""
    return _free(PARAMETERS_PER_NORM_CHANNEL * norm.channels, 0, norm.symmetry)


def conv_macs(conv: Conv, height: int, width: int) -> int:
    """Return the MACs of `conv` for one image, whose output map is `height` x `width`; taps on padding count."""
    kernel = conv.kernel
    return height * width * conv.out_channels * (conv.in_channels // conv.groups) * kernel * kernel


def linear_parameters(linear: Linear) -> int:
    """Return how many weights, and biases where it has them, `linear` holds."""
    weights = linear.out_features * linear.in_features
    return _free(weights, linear.out_features if linear.bias else 0, linear.symmetry)


def linear_macs(linear: Linear) -> int:
    """Return the MACs of `linear` for one image."""
    return linear.in_features * linear.out_features


def _free(weights: int, biases: int, symmetry: Symmetry) -> int:
    """Return how many of the weights and biases a layer of `symmetry` holds; the others are theirs, mirrored."""
    if symmetry == "none":
        return weights + biases
    return weights // 2 + (biases if symmetry == "project" else biases // 2)
