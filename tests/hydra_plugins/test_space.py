"""What a space names is checked before the first proposal."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from archsearch.cli.compose import Composer
from archsearch.config_files import config_folder
from archsearch.errors import SpecError
from hydra_plugins.archsearch_sweeper._grammar import read_request
from hydra_plugins.archsearch_sweeper._space import require_names


def check(space: dict[str, Any], *base: str) -> None:
    request = read_request([], space)
    require_names(request.space, request.fixed, Composer(["data=shapes", *base]))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"arch.stages.c1.block": "choice(normal, nromal)"}, "unknown block 'nromal'. Did you mean 'normal'?"),
        ({"arch.stages.c1.entry.block": "choice(strided, x)"}, "arch.stages.c1.entry.block: unknown block 'x'"),
        ({"arch.stages.c9.width": "choice(16, 32)"}, "c9.width: there is no stage c9. Stages: c1, c2, c3, c4."),
        ({"arch.stages.c9.block": "normal", "seed": "choice(1, 2)"}, "arch.stages.c9.block: there is no stage c9."),
        ({"arch.stages.c1.kernle": "choice(3, 5)"}, "no block of this stage has this option. Did you mean 'kernel'?"),
        ({"arch.options.kernle": "choice(3, 5)"}, "kernle: no block of the network has this option. Did you mean 'ker"),
        ({"arch.stages.c1.width": "choice(0, 5)"}, "arch.stages.c1.width: must be at least 1, got 0"),
        ({"arch.wdth": "choice(1, 2)"}, "arch.wdth: unknown key for a network. Did you mean 'width'?"),
        ({"optimizer.lr": "tag(log, interval(0.1, 1))"}, "optimizer.lr: unknown key for optimizer. Did you mean"),
        ({"train.batch_size": "range(0, 64, 32)"}, "train.batch_size: must be at least 1, got 0"),
        ({"block": "choice(normal, nromal)"}, "block: unknown option 'nromal'. Did you mean 'normal'?"),
        ({"optimizer": "choice(sgd, adam)"}, "optimizer: unknown option 'adam'. Did you mean 'adamw'?"),
    ],
)  # fmt: skip
def test_what_no_design_has_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as caught:
        check(space)
    assert message in str(caught.value)


def test_what_some_design_has_is_searched() -> None:
    check({"arch.stages.c1.block": "choice(normal, inverted)", "arch.stages.c1.expand": "choice(2, 4)"})
    check({"block": "choice(normal, inverted)", "arch.stages.c1.expand": "choice(2, 4)"})
    check({"arch.stages.c1.block": "choice(normal, inverted)", "arch.options.expand": "choice(2, 4)"})
    check({"arch.options.act": "choice(relu, silu)", "arch.stages.c4.from": "choice(c1, c2)"})
    check({"arch": "choice(c1c2c3c4, resnet20)", "arch.stages.c9.width": "choice(16, 32)"})
    check({"optimizer": "choice(sgd, adamw)", "optimizer.momentum": "interval(0.0, 0.9)"})
    check({"seed": "range(0, 3)", "arch.width": "interval(0.5, 1.5)"})


@pytest.mark.parametrize("file", sorted((config_folder() / "space").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_shipped_spaces_pass(file: Any) -> None:
    check(yaml.safe_load(file.read_text()), *(["arch=nas_bench_macro"] if file.stem == "nas_bench_macro" else []))
