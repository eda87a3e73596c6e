"""Layers of single positions: norms over channels, learnt factors, parts and orders of channels; numbers and errors."""

from __future__ import annotations

import pytest

from archsearch.analysis.traits import traits_of
from archsearch.design.geometry import Shape
from archsearch.design.layers import (
    Activation,
    BlurPool,
    ChannelPool,
    Clamp,
    Conv,
    DropPath,
    GlobalPool,
    Leaf,
    Narrow,
    Norm,
    PadChannels,
    Pool,
    Scale,
    Shuffle,
)
from archsearch.design.plan import Parallel, Plan, Sequence, canonical_text, design_id
from archsearch.errors import ChannelsError, SpecError

MAP: Shape = (12, 8, 6)


def text_of(*layers: Leaf | Parallel, shape: Shape = MAP) -> str:
    stem = Sequence(name="stem", layers=layers)  # type: ignore[arg-type]
    return canonical_text(Plan(input_shape=shape, layers=(stem,))).partition(":")[2]


@pytest.mark.parametrize(
    ("layer", "shape", "parameters"),
    [
        (Norm(name="n", kind="channel", channels=12), MAP, 24),
        (Norm(name="n", kind="channel", channels=12, symmetry="pairs"), MAP, 12),
        (Scale(name="s", channels=12), MAP, 12),
        (Scale(name="s", channels=12, bias=True), MAP, 24),
        (Scale(name="s", channels=12, per="layer", bias=True), MAP, 2),
        (Scale(name="s", channels=12, symmetry="pairs"), MAP, 6),
        (Scale(name="s", channels=12, init=-1.0, learnt=False), MAP, 0),
        (Narrow(name="n", in_channels=12, start=3, out_channels=5), (5, 8, 6), 0),
        (Shuffle(name="s", channels=12, groups=3), MAP, 0),
        (PadChannels(name="p", in_channels=12, out_channels=20, before=4), (20, 8, 6), 0),
        (ChannelPool(name="p", kind="max", channels=12), (1, 8, 6), 0),
        (Clamp(name="c", low=-1.0, high=1.0), MAP, 0),
        (DropPath(name="d", rate=0.1), MAP, 0),
        (BlurPool(name="b", kernel=3, stride=2, padding=(1, 1)), (12, 4, 3), 0),
        (BlurPool(name="b", kernel=4, stride=1, padding=(1, 2)), MAP, 0),
    ],
)
def test_shapes_and_parameters(layer: Leaf, shape: Shape, parameters: int) -> None:
    assert layer.output_shape(MAP) == layer.shape_after(MAP) == shape
    assert layer.channels_after(12) == shape[0]
    assert layer.parameters == parameters
    macs = 9 * 12 * 12 if layer.total_stride == 2 else 16 * 12 * 48 if isinstance(layer, BlurPool) else 0
    assert layer.macs(shape) == macs


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            Norm(name="n", kind="channel", channels=1),
            "a norm of kind 'channel' over one channel is always zero. Use a batch norm here, more channels,",
        ),
        (Scale(name="n", channels=4), "expected 4 input channels, got 1. Set its input channels to 1."),
        (Narrow(name="n", in_channels=4, start=0, out_channels=2), "expected 4 input channels, got 1."),
        (Narrow(name="n", in_channels=1, start=1, out_channels=2), "takes channels 1 to 2 of 1. Take fewer"),
        (Shuffle(name="n", channels=2, groups=2), "expected 2 input channels, got 1."),
        (Shuffle(name="n", channels=1, groups=2), "1 channels are not divisible by 2 groups. Use 2 channels, or"),
        (PadChannels(name="n", in_channels=2, out_channels=2), "expected 2 input channels, got 1."),
        (
            PadChannels(name="n", in_channels=1, out_channels=3, before=3),
            "cannot make 3 channels of 1 and 3 in front of them. Use at least 4, or a 1x1 convolution.",
        ),
        (ChannelPool(name="n", kind="max", channels=3), "expected 3 input channels, got 1."),
        (
            BlurPool(name="n", kernel=5, stride=2, padding=(2, 2)),
            "a border of 2 px cannot be mirrored from a map of 2 x 2 px. Use a smaller kernel, or fewer strides",
        ),
    ],
)
def test_what_does_not_fit_is_an_error_at_its_path(layer: Leaf, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        layer.output_shape((1, 2, 2), "stem.")
    assert str(caught.value).startswith(f"stem.n: {message}")


def test_pairs_need_even_numbers() -> None:
    for layer in (
        Narrow(name="n", in_channels=12, start=0, out_channels=3, symmetry="pairs"),
        PadChannels(name="n", in_channels=12, out_channels=15, symmetry="pairs"),
    ):
        with pytest.raises(SpecError, match=r"flip needs an even number of channels.*Use .*arch.symmetry=none"):
            layer.output_shape(MAP)
    with pytest.raises(ChannelsError, match="6 pairs of channels are not divisible by 4 groups"):
        Shuffle(name="n", channels=12, groups=4, symmetry="pairs").output_shape(MAP)
    with pytest.raises(SpecError, match=r"pool over channels makes one channel of pairs. Use global pools"):
        ChannelPool(name="n", kind="max", channels=12).tied("pairs")


@pytest.mark.parametrize(
    "layer",
    [
        Narrow(name="n", in_channels=12, start=0, out_channels=12),
        Shuffle(name="n", channels=12, groups=1),
        Shuffle(name="n", channels=12, groups=12),
        PadChannels(name="n", in_channels=12, out_channels=12),
        DropPath(name="n", rate=0.0),
    ],
)
def test_what_changes_nothing_is_no_layer(layer: Leaf) -> None:
    assert layer.is_idle
    assert layer.simplified(MAP) is None
    assert text_of(layer) == text_of()


def test_equal_layers_share_their_text() -> None:
    assert text_of(Clamp(name="c", low=0.0, high=6.0)) == text_of(Activation(name="a", kind="relu6"))
    assert text_of(Clamp(name="c", low=0.0, high=1.0)) != text_of(Activation(name="a", kind="relu6"))
    one = (1, 8, 8)
    scales = [Scale(name="s", channels=1, per=per) for per in ("channel", "layer")]
    assert text_of(scales[0], shape=one) == text_of(scales[1], shape=one)
    factors = [Scale(name="s", channels=12, per=per, init=-1.0, learnt=False) for per in ("channel", "layer")]
    assert text_of(factors[0]) == text_of(factors[1]) != text_of(Scale(name="s", channels=12, per="layer", init=-1.0))
    assert text_of(Scale(name="s", channels=12)) != text_of(Scale(name="s", channels=12, init=0.5))
    pool = GlobalPool(name="p", kind="average")
    norms = [Norm(name="n", kind=kind, channels=12) for kind in ("layer", "channel")]
    assert text_of(pool, norms[0]) == text_of(pool, norms[1])
    assert text_of(norms[0]) != text_of(norms[1])


def test_an_epsilon_counts_where_it_is_another() -> None:
    plain, other = Norm(name="n", kind="batch", channels=12), Norm(name="n", kind="batch", channels=12, eps=1e-6)
    assert plain.canonical() == "batch12,1"
    assert other.canonical() == "batch12,1,eps1e-06"


def test_padding_counts_in_an_average_where_windows_reach_it() -> None:
    def pool(padding: tuple[int, int], kind: str = "average", *, counts: bool, kernel: int = 3, stride: int = 1) -> str:
        one = Pool(name="p", kind=kind, kernel=kernel, stride=stride, padding=padding, counts_padding=counts)  # type: ignore[arg-type]
        return text_of(one, shape=(12, 8, 8))

    assert pool((1, 1), counts=True) == "average3,1,1,1,counted"
    assert pool((1, 1), counts=False) == "average3,1,1,1"
    assert pool((1, 1), "max", counts=True) == "max3,1,1,1"
    assert pool((0, 0), counts=True) == "average3,1,0,0"
    assert pool((0, 1), counts=True, kernel=2, stride=2) == pool((0, 0), counts=False, kernel=2, stride=2)
    # A window over all of the map and its padding is a smaller number than the mean, and no global pool.
    assert pool((1, 1), counts=True, kernel=10) == "average10,1,1,1,counted"
    assert pool((1, 1), counts=False, kernel=10) == "globalaverage"


def branches(combine: str, *layers: tuple[Leaf | Parallel, ...]) -> Parallel:
    made = tuple(Sequence(name=f"b{i}", layers=each) for i, each in enumerate(layers))  # type: ignore[arg-type]
    return Parallel(name="join", branches=made, combine=combine)  # type: ignore[arg-type]


def test_a_mean_is_no_part_of_a_larger_mean() -> None:
    acts = [Activation(name="a", kind=kind) for kind in ("relu", "silu", "gelu")]
    nested = branches("mean", (acts[0],), (branches("mean", (acts[1],), (acts[2],)),))
    flat = branches("mean", *((act,) for act in acts))
    assert nested.flattened() is nested
    assert text_of(nested) == "mean(mean(gelu|silu)|relu)"
    assert text_of(flat) == "mean(gelu|relu|silu)"
    assert text_of(branches("mean", (acts[0],))) == "relu"
    assert flat.merged_shape([MAP] * 3, "") == MAP
    with pytest.raises(SpecError, match="cannot be averaged"):
        flat.merged_shape([MAP, (3, 8, 6), MAP], "")


def test_what_is_broadcast_in_a_product() -> None:
    product = branches("multiply", (), ())
    for small in ((12, 1, 1), (1, 8, 6), (1, 1, 1)):
        assert product.merged_shape([small, MAP], "") == product.merged_shape([MAP, small], "") == MAP
    for other in ((6, 8, 6), (6, 1, 1), (12, 8, 1), (1, 8, 1)):
        with pytest.raises(SpecError, match="cannot be multiplied"):
            product.merged_shape([other, MAP], "")


def test_traits() -> None:
    conv = Conv(name="c", in_channels=12, out_channels=12, padding=(1, 1))
    scaled = (Scale(name="s", channels=12),)
    assert "residual" in traits_of([branches("add", (conv,), scaled)], MAP)
    assert "residual" in traits_of([branches("mean", (conv,), ())], MAP)
    assert "residual" not in traits_of([branches("add", (conv,), (Clamp(name="c", low=0.0, high=1.0),))], MAP)
    assert traits_of([BlurPool(name="b", kernel=3, stride=2, padding=(1, 1))], MAP) == {"average_pool"}
    assert traits_of([BlurPool(name="b", kernel=3, stride=1, padding=(1, 1))], MAP) == {"smoothing"}
    assert (
        traits_of([Shuffle(name="s", channels=12, groups=2), ChannelPool(name="p", kind="max", channels=12)], MAP)
        == set()
    )


def test_ids_of_other_plans_stay() -> None:
    norm = Norm(name="norm", kind="group", channels=8, groups=4)
    layers = (
        Conv(name="conv", in_channels=3, out_channels=8),
        norm,
        Pool(name="p", kind="average", kernel=2, stride=2),
    )
    plan = Plan(input_shape=(3, 8, 8), layers=(Sequence(name="stem", layers=layers),))
    assert canonical_text(plan) == "(3, 8, 8):conv3,8,3,1,1,1,0,0,0;group8,4;average2,2,0,1"
    assert len(design_id(plan)) == 16
