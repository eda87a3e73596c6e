"""What a design cannot express is refused with the operation, the module and the author's line."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.errors import SpecError
from archsearch.importer.from_module import from_module

SHAPE = (3, 16, 16)


class Body(nn.Module):
    """One convolution, a step of the test's, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 10)
        self.gain = nn.Parameter(torch.ones(8, 16, 16))
        self.wide = nn.Conv2d(8, 8, 3, stride=(1, 2), padding=1)
        self.norm = nn.LayerNorm([8, 16, 16])

    def classify(self, x: Tensor) -> Tensor:
        return self.out(x.mean((2, 3)))


class Constant(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x + 0.5
        return self.classify(x)


class Parameter(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x * self.gain
        return self.classify(x)


class Wide(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.wide(x)
        return self.classify(x)


class Shuffled(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x.view(-1, 2, 4, 16, 16)
        x = x.mean(2).repeat_interleave(4, 1)
        return self.classify(x)


class Sorted(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x.sort(dim=2).values
        return self.classify(x)


class Sliced(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x[:, :, 3:]
        return self.classify(x)


class Ceiling(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = functional.avg_pool2d(x, 4, 3, 1, ceil_mode=True)
        return self.classify(x)


class Cornered(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        return self.classify(x)


class Resized(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = functional.interpolate(x, size=(24, 32))
        return self.classify(x)


class AlwaysDropped(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = functional.dropout(x, 0.1)
        return self.classify(x)


class LayerNormed(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.norm(x)
        return self.classify(x)


@pytest.mark.parametrize(
    ("kind", "operation", "code"),
    [
        (Constant, "aten.add.Tensor: .* constant", "x = x + 0.5"),
        (Parameter, "aten.mul.Tensor: .* a stored weight of 8 x 16 x 16", "x = x * self.gain"),
        (Wide, "wide: aten.conv2d: .* a stride of 1 x 2", "x = self.wide"),
        (Shuffled, "aten.mean.dim: .* in groups that is no shuffle", "x = x.mean(2)"),
        (Sorted, "aten.sort", "x = x.sort"),
        (Sliced, "aten.slice", "x = x[:, :, 3:]"),
        (Ceiling, "aten.avg_pool2d: .* ceil_mode that counts its padding", "x = functional.avg_pool2d"),
        (Cornered, "aten.upsample_bilinear2d.*: .* align_corners", "x = functional.interpolate"),
        (Resized, "aten.upsample_nearest2d.*: .* a map of 16 x 16 made one of 24 x 32", "x = functional.interpolate"),
        (AlwaysDropped, "aten.dropout: .* in inference too", "x = functional.dropout"),
        (LayerNormed, "norm: aten.layer_norm", "x = self.norm"),
    ],
)
def test_what_a_design_cannot_express_is_refused_with_operation_and_line(
    kind: type[nn.Module], operation: str, code: str
) -> None:
    with pytest.raises(SpecError, match=operation) as caught:
        from_module(kind(), SHAPE)
    assert "test_import_refusals.py, line " in str(caught.value)
    assert code in str(caught.value)


class Shared(Body):
    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = self.again(self.again(x))
        return self.classify(x)


def test_weights_used_twice_are_refused() -> None:
    with pytest.raises(SpecError, match=r"again: .*weights that are used twice \('again.weight'"):
        from_module(Shared(), SHAPE)


class Data(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x if bool(x.sum() > 0) else -x
        return self.classify(x)


class Crossed(nn.Module):
    """Two maps that are both read by two later ones: not nested branches."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d, self.out = (
            *(nn.Conv2d(3, 3, 3, padding=1) for _ in range(4)),
            nn.Linear(3, 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.a(x), self.b(x)
        c, d = self.c(a + b), self.d(a * b)
        return self.out((c + d).mean((2, 3)))


class Broken(Body):
    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.out(x.flatten(1))


def test_an_error_of_the_code_has_its_line() -> None:
    with pytest.raises(
        SpecError, match=r"Broken: on 3 x 16 x 16 images its forward raises RuntimeError: mat1 and"
    ) as caught:
        from_module(Broken(), SHAPE)
    assert "test_import_refusals.py, line " in str(caught.value)
    assert "return self.out(x.flatten(1))" in str(caught.value)


def test_code_that_depends_on_values_is_refused() -> None:
    with pytest.raises(SpecError, match=r"torch\.export cannot read it"):
        from_module(Data(), SHAPE)


def test_branches_that_are_not_nested_are_refused() -> None:
    with pytest.raises(
        SpecError, match=r"[ab]: aten.conv2d: .*no branches of one merge \(test_import_refusals.py, line "
    ):
        from_module(Crossed(), SHAPE)
