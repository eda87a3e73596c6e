from __future__ import annotations

from archsearch.analysis.count import conv_macs, conv_parameters, linear_macs, linear_parameters, norm_parameters
from archsearch.design.plan import Conv, Linear, Norm


def test_a_convolution_holds_out_by_in_over_groups_by_kernel_squared() -> None:
    conv = Conv(name="conv", in_channels=32, out_channels=64, kernel=3)
    grouped = Conv(name="conv", in_channels=32, out_channels=64, kernel=3, groups=32, bias=True)
    assert conv_parameters(conv) == 64 * 32 * 9
    assert conv_parameters(grouped) == 64 * 9 + 64


def test_macs_are_weights_times_positions_and_biases_are_free() -> None:
    conv = Conv(name="conv", in_channels=4, out_channels=6, kernel=5, groups=2, bias=True)
    assert conv_macs(conv, 7, 9) == 6 * 2 * 25 * 63


def test_a_dense_layer_counts_its_bias_as_parameters_only() -> None:
    linear = Linear(name="linear", in_features=128, out_features=10)
    assert linear_parameters(linear) == 1290
    assert linear_macs(linear) == 1280


def test_tied_weights_count_once_and_their_macs_twice() -> None:
    conv = Conv(name="conv", in_channels=4, out_channels=6, kernel=5, bias=True, symmetry="pairs")
    last = Conv(name="conv", in_channels=4, out_channels=5, kernel=1, bias=True, symmetry="project")
    linear = Linear(name="linear", in_features=128, out_features=10, symmetry="project")
    assert conv_parameters(conv) == (6 * 4 * 25 + 6) // 2
    assert conv_parameters(last) == 5 * 4 // 2 + 5
    assert linear_parameters(linear) == 640 + 10
    assert norm_parameters(Norm(name="norm", kind="batch", channels=6)) == 12
    assert norm_parameters(Norm(name="norm", kind="batch", channels=6, symmetry="pairs")) == 6
    assert conv_macs(conv, 2, 2) == 6 * 4 * 25 * 4
