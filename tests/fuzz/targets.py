"""What is done with each kind of input: all that `show` and a search do before a training, and checks of the result.

Errors that the commands report by a message mean that an input cannot be used; anything else is a failure.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mutations import mutated
from strategies import SCOPE
from torch_facts import count_disagreements, field_disagreements

from archsearch.analysis.check import broken_limits_text, check_design
from archsearch.analysis.limits import decode_limits
from archsearch.analysis.measure import Footprint, measure, rows
from archsearch.cli.compose import compose_tree, resolve
from archsearch.cli.messages import known_error
from archsearch.config_files import ConfigSources, block_lookup, config_folder, read_yaml
from archsearch.design.expression import check_names, compute, parse
from archsearch.design.lower import lower
from archsearch.design.plan import design_id
from archsearch.design.spec import DesignSpec, decode_design, self_contained
from archsearch.report.terminal.design import design_record, design_text
from archsearch.settings.experiment import decode_experiment
from hydra_plugins.archsearch_sweeper._grammar import read_request

MOST_MESSAGE = 5_000
"""Characters of a message."""
_BLOCKS = block_lookup([config_folder()])


class Disagreement(Exception):
    """A number that differs from what torch, Python or another way to it gives."""


def examine(kind: str, payload: Any) -> bool:
    """Return whether the input `payload` of `kind` could be used; raises what must not be raised."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            TARGETS[kind](payload)
    except Exception as error:
        if isinstance(error, Disagreement) or (known := known_error(error)) is None:  # as the commands do
            raise
        if len(str(known)) > MOST_MESSAGE or not str(known).strip():
            raise Disagreement(f"a message of {len(str(known))} characters") from error
        return False
    return True


def expression(payload: tuple[str, str | None]) -> None:
    """Parse and evaluate, as Python does where it can."""
    text, python = payload
    parsed = parse(text, "here")
    check_names(parsed, SCOPE, "here")
    value = compute(parsed, SCOPE, "here")
    if isinstance(value, float) and not math.isfinite(value):
        raise Disagreement(f"{text} gives {value}")
    if python is None:
        return
    names = {"in_" if name == "in" else name: one for name, one in SCOPE.items()}
    expected = eval(python, {"floor": math.floor, "ceil": math.ceil, **names})  # noqa: S307  (of our own making)
    if type(expected) is not type(value) or expected != value:
        raise Disagreement(f"{text} gives {value!r}, Python {expected!r}")


def block(payload: Any) -> None:
    """Make a network of two stages of the block."""
    stages = {"c1": {"block": payload, "width": 8, "repeats": 2}, "c2": {"block": payload, "width": 12}}
    network(({"name": "a", "input": [3, 12, 12], "stages": stages, "head": {"classes": 4}}, {}))


def network(payload: tuple[Any, Any]) -> None:
    """Read a network and its limits, as from a file, and check it."""
    arch, limits = payload
    tree = resolve(
        {"arch": arch, "block": "normal", "data": {"classes": 4, "channels": 3, "image_size": 12}, "limits": limits}
    )
    check(decode_design(tree["arch"], _BLOCKS), tree["limits"])


def limits(payload: tuple[Any, str]) -> None:
    """Check a shipped network against limits."""
    raw, name = payload
    tree = _base()
    arch = resolve({**tree, "arch": read_yaml(config_folder() / "arch" / f"{name}.yaml")})["arch"]
    check(decode_design(arch, _BLOCKS), resolve({"limits": raw})["limits"])


def overrides(payload: list[str]) -> None:
    """Compose, decode and check, as `show` does."""
    tree, blocks = compose_tree(payload)
    experiment = decode_experiment(tree, blocks)
    check(experiment.design, tree.get("constraints"))


def yaml(payload: tuple[tuple[str, str], int]) -> None:
    """Read a shipped file that was changed; one of eight through Hydra, as a group of the user's own folder."""
    (group, name), seed = payload
    octets = mutated(group, name, seed)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / group / "changed.yaml"
        file.parent.mkdir()
        file.write_bytes(octets)
        if seed % 8 == 0 and group not in ("space", "sampler", "pruner"):
            extra = [f"arch={name}"] if group == "block" and seed % 16 else []
            tree, blocks = compose_tree([f"{group}=changed", *extra], ConfigSources(folders=(folder,)))
            experiment = decode_experiment(tree, blocks)
            return check(experiment.design, tree.get("constraints"))
        raw = read_yaml(file)
        if group == "space":
            return space((raw, []))
        if group in ("sampler", "pruner"):
            raw = {
                "study": {group: raw.get("study", {}).get(group, raw) if isinstance(raw.get("study"), Mapping) else raw}
            }
            tree = resolve({**_base(), **raw})
        else:
            tree = resolve({**_base(), group: raw})
        experiment = decode_experiment(
            {key: value for key, value in tree.items() if key != "defaults"},
            block_lookup([Path(folder), config_folder()]),
        )
        return check(experiment.design, tree.get("constraints"))


def space(payload: tuple[Mapping[str, Any] | None, list[str]]) -> None:
    """Read a space, draw points of it, and encode and name them."""
    file, arguments = payload
    request = read_request(arguments, None if file is None else resolve({"space": file})["space"])
    found, rng = request.space, np.random.default_rng(0)
    points = [found.draw(rng) for _ in range(3)]
    points += [found.mutate(point, rng) for point in points if point]
    if found.size is not None and found.size > 0:
        points += [found.at(0), found.at(found.size - 1)]
    for point in points:
        if found.point_of(point) != point or found.point(found.key(point)) != point:
            raise Disagreement(f"{point} is no point of its own space")
        if not all(math.isfinite(number) for number in found.encode(point)) or len(found.encode(point)) != len(
            found.groups
        ):
            raise Disagreement(f"{point} is encoded as {found.encode(point)}")


def check(design: DesignSpec, limits: Any) -> None:
    """Check a design as `show` does, and hold its numbers against each other and against torch."""
    checked = check_design(design, decode_limits(limits), _BLOCKS)
    plan, footprint = checked.plan, checked.footprint
    design_text(checked)
    json.dumps(design_record(checked))
    checked._repr_html_()
    if not checked.kept:
        broken_limits_text(checked)
    table = rows(plan)
    for name in ("parameters", "macs"):
        if sum(getattr(row, name) for row in table) != getattr(footprint, name):
            raise Disagreement(f"{name}: {getattr(footprint, name)} in all, the rows have another sum")
    if sum(row.activations for row in table) < footprint.activations:  # layers that do nothing count in rows alone
        raise Disagreement(f"activations: {footprint.activations} in all, more than those of the rows")
    if (found := measure(plan)) != footprint:
        raise Disagreement(f"measured by layers {_numbers(found)}, by blocks {_numbers(footprint)}")
    again = lower(decode_design(json.loads(json.dumps(self_contained(checked.design))), _no_blocks))
    if design_id(again) != checked.design_id:
        raise Disagreement("the design that is written down is another one")
    for margin in checked.margins:
        if not isinstance(margin.slack, int | float) or math.isnan(margin.slack):
            raise Disagreement(f"{margin.limit}: slack {margin.slack}")
    if (
        len(table) > 60
        or footprint.parameters > 200_000
        or footprint.macs > 10_000_000
        or footprint.activations > 500_000
    ):
        return
    differences = count_disagreements(plan, footprint)
    if int(checked.design_id, 16) % 4 == 0:
        differences += field_disagreements(plan, 96)
    if differences:
        raise Disagreement("; ".join(differences))


def _no_blocks(name: str) -> Mapping[str, Any]:
    raise Disagreement(f"the design that is written down names the block {name}")


def _numbers(footprint: Footprint) -> dict[str, Any]:
    return {
        name: getattr(footprint, name)
        for name in ("parameters", "macs", "activations", "peak_bytes", "receptive_field", "jump", "start")
    }


@functools.cache
def _base() -> dict[str, Any]:
    return compose_tree(["arch=quick"])[0]


TARGETS: Mapping[str, Callable[[Any], None]] = {
    "expressions": expression,
    "blocks": block,
    "networks": network,
    "limits": limits,
    "spaces": space,
    "overrides": overrides,
    "yaml": yaml,
}
