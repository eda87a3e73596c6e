"""The reference of the configuration: every group of conf/ with its options, and every key.

Options and the meanings of keys come from the comments of the YAML files; types, ranges and defaults from the settings
that decode them (`archsearch.settings`) and from the tables of layers and limits.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from tables import GENERATED, code, sentence, table, yaml_text

from archsearch.analysis.limits import LIMITS, Bound, Downsampling, Limits
from archsearch.analysis.traits import HEADS, TRAITS
from archsearch.config_files import config_folder
from archsearch.config_files.summaries import first_sentence
from archsearch.decode import Range
from archsearch.design.kinds import KINDS
from archsearch.settings.augment import AugmentPolicy, TransformChoice
from archsearch.settings.data import NAMES as DATASETS
from archsearch.settings.data import DataSettings, ShapesSettings
from archsearch.settings.objectives import OBJECTIVES
from archsearch.settings.study import PrunerSettings, SamplerSettings, StudySettings
from archsearch.settings.tracking import TrackingSettings
from archsearch.settings.training import OptimizerSettings, ScheduleSettings, TrainSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of conf/: its `title` in one line, the dotted `prefix` of its keys, the `kind` that decodes them."""

    name: str
    title: str
    prefix: str = ""
    kind: type | None = None
    nested: tuple[str, ...] = ()
    """Fields of `kind` that have groups of their own."""


GROUPS = (
    Group(name="block", title="The block that `${block}` stands for in a network."),
    Group(name="arch", title="The network.", prefix="arch"),
    Group(name="constraints", title="The limits that a design must keep.", prefix="constraints"),
    Group(name="data", title="The data set.", prefix="data", kind=DataSettings, nested=("shapes",)),
    Group(name="augment", title="The augmentation of training images.", prefix="augment"),
    Group(name="optimizer", title="The optimizer.", prefix="optimizer", kind=OptimizerSettings),
    Group(name="schedule", title="The learning rate over the training.", prefix="schedule", kind=ScheduleSettings),
    Group(name="train", title="The training.", prefix="train", kind=TrainSettings),
    Group(
        name="study",
        title="The search and its database.",
        prefix="study",
        kind=StudySettings,
        nested=("sampler", "pruner"),
    ),
    Group(name="sampler", title="How a search proposes designs.", prefix="study.sampler", kind=SamplerSettings),
    Group(name="pruner", title="When a search stops a training early.", prefix="study.pruner", kind=PrunerSettings),
    Group(name="tracking", title="A tracker that also receives the metrics.", prefix="tracking", kind=TrackingSettings),
    Group(name="space", title="What a search varies: dotted keys, with values in Hydra's sweep grammar."),
    Group(name="experiment", title="Options of several groups together."),
    Group(name="hydra/help", title="Hydra's own group: the text of `--help`."),
    Group(name="hydra/job_logging", title="Hydra's own group: the log file of a run."),
)

Row = tuple[str, str, str, str]
"""A key, its type with its range, its default, and what it means."""

_TOP = ("seed", "resume")
_NETWORK: tuple[Row, ...] = (
    ("arch.name", "text", "`unnamed`", "name of the network in messages and tables"),
    ("arch.input", "list of three integers, 1 to 4096", "`[3, 32, 32]`", "channels, height and width of the images"),
    (
        "arch.stem",
        "mapping or null",
        "`null`",
        "one block before the stages: the keys of a stage, with `out` as its width",
    ),
    ("arch.options", "mapping", "`{}`", "options for every block of stem and stages that has them"),
    ("arch.stages", "mapping", "required", "the stages by name, in order"),
    ("arch.head", "mapping", "required", "the layers after the stages: pooling and classifier"),
    (
        "arch.width",
        "number, above 0 and at most 64, or `fit`",
        "`1.0`",
        "factor of all widths; `fit`: as wide as the limits allow",
    ),
    ("arch.divisor", "integer, at least 1", "`8`", "multiplied widths are rounded to multiples of this"),
    ("arch.symmetry", "`none`, `flip`", "`none`", "`flip`: filters in mirrored pairs, with half of the parameters"),
    ("arch.file", "text", "required", "`arch=file` only: the YAML file of the network; `arch=FILE.yaml` sets it"),
)
_STAGE: tuple[Row, ...] = (
    ("block", "text or mapping", "required", "the name of a block, or a block written out"),
    ("width", "integer, at least 1", "required", "output channels; not needed if the block never reads `out`"),
    ("repeats", "integer, at least 0", "`1`", "number of blocks"),
    ("entry", "mapping", "`null`", "another block instead of the first, with options of its own"),
    ("from", "text", "`null`", "an earlier stage; its output is concatenated with the input of this one"),
    ("OPTION", "as in the block", "`null`", "any option of the block; null: that of `arch.options`, or the default"),
)
_HEAD: tuple[Row, ...] = (
    ("layers", "list of layers", "`[]`", "layers before the pooling; they may read `classes`"),
    ("pool", "`global_average`, `global_max`, `average`, `none`", "`global_average`", "the pooling"),
    ("kernel", "integer, at least 1", "`2`", "kernel of `pool: average`, px"),
    ("dropout", "number, at least 0 and below 1", "`0.0`", "dropout before the linear layer"),
    ("linear", "true or false", "`true`", "whether the head ends with a linear layer to the classes"),
    ("bias", "true or false", "`true`", "whether the linear layer has a bias"),
    ("classifier", "list of layers", "`null`", "layers after the pooling, instead of `dropout`, `linear` and `bias`"),
    ("classes", "integer, at least 1", "required", "number of classes"),
)


def page() -> str:
    """Return the page of the configuration."""
    return "\n".join(
        [
            "# Configuration",
            "",
            f"{GENERATED} Its texts are the comments in `conf/`. Types, ranges and",
            "defaults come from the code that reads the files.",
            "",
            "Select an option of a group with `GROUP=OPTION`. Set a key with `KEY=VALUE`.",
            "The command line overrides the files.",
            "`python -m archsearch.run --cfg job` prints all keys with their values.",
            "",
            _anchors(),
            "## Keys of the whole run",
            "",
            _key_table(_top_rows()),
            *[part for group in GROUPS for part in _section(group)],
        ]
    )


def _anchors() -> str:
    links = [f"[{group.name}](#{group.name.replace('/', '')})" for group in GROUPS]
    lines = [", ".join(links[place : place + 5]) for place in range(0, len(links), 5)]
    return "Groups: " + ",\n".join(lines) + ".\n"


def _section(group: Group) -> Iterator[str]:
    default = defaults().get(group.name)
    yield f"## {group.name}\n"
    chosen = "no option" if default is None else code(default)
    yield f"{group.title} Default: {chosen}.\n"
    yield table(*_option_table(group))
    if rows := key_rows(group):
        yield _key_table(rows)
    if group.name == "arch":
        yield "Keys of a stage, `arch.stages.NAME.KEY`:\n"
        yield _key_table(_STAGE)
        yield "Keys of the head, `arch.head.KEY`:\n"
        yield _key_table(_HEAD)
        yield "Layers and their fields. [The design language](../language.md#blocks) explains them:\n"
        yield table(("layer", "fields with their defaults (main field in bold)", "values"), _layer_rows())
    if group.name == "constraints":
        lines = [", ".join(map(code, TRAITS[place : place + 6])) for place in range(0, len(TRAITS), 6)]
        yield "Traits: " + ",\n".join(lines) + ".\n[The design language](../language.md#limits) defines them.\n"
    if group.name == "augment":
        yield "Transforms, the entries of `augment.transforms`:\n"
        yield table(("transform", "key", "type and range", "default", "what it does"), _transform_rows())


def _key_table(rows: Sequence[Row]) -> str:
    head = ("key", "meaning", "type and range", "default")
    return table(head, [(code(key), meaning, kind, default) for key, kind, default, meaning in rows])


# Options


def options(group: str) -> list[Path]:
    """Return the files of a group, by name."""
    return sorted((config_folder() / group).glob("*.yaml"))


@cache
def defaults() -> dict[str, str | None]:
    """Return the option that is chosen for each group by default."""
    listed = yaml.safe_load((config_folder() / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    pairs = (pair for entry in listed if isinstance(entry, dict) for pair in entry.items())
    return {name.removeprefix("override "): option for name, option in pairs}


def description(file: Path) -> str:
    """Return the first sentence of the comment that opens a file, after its command."""
    return sentence(first_sentence(file))


def _option_table(group: Group) -> tuple[Sequence[str], Sequence[Sequence[str]]]:
    files = options(group.name)
    rows = [(_link(file), description(file), " ".join(map(code, _sets(group, file)))) for file in files]
    if not any(row[2] for row in rows):
        return ("option", "what it is"), [row[:2] for row in rows]
    more = {"block": "options of the block", "space": "keys that it varies"}.get(group.name, "sets")
    return ("option", "what it is", more), rows


def _link(file: Path) -> str:
    return f"[{code(file.stem)}](../../conf/{file.relative_to(config_folder()).as_posix()})"


def _sets(group: Group, file: Path) -> list[str]:
    """Return what an option sets, where that differs from the defaults of the keys."""
    raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    if group.name == "block":
        return [f"{name}={yaml_text(value)}" for name, value in raw.get("options", {}).items()]
    if group.name == "space":
        return sorted({re.sub(r"stages\.\w+", "stages.*", key) for key in raw})
    if group.name == "experiment":
        chosen = [pair for entry in raw.pop("defaults") for pair in entry.items()]
        named = [f"{name.removeprefix('override /')}={option}" for name, option in chosen]
        return [*named, *(f"{key}={yaml_text(value)}" for key, value in flat(raw))]
    if group.kind in (None, DataSettings):
        return []
    known = dict(flat(dataclasses.asdict(group.kind())))
    given = [(key, value) for key, value in flat(raw) if key not in ("name", "defaults")]
    return [f"{group.prefix}.{key}={yaml_text(value)}" for key, value in given if known.get(key) != value]


def flat(raw: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys of nested mappings with their values."""
    for key, value in raw.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", list(value) if isinstance(value, tuple) else value


# Keys


def key_rows(group: Group) -> list[Row]:
    """Return the rows of a group's keys; none for a group whose keys are free."""
    meanings = _meanings(group.name)
    if group.name == "arch":
        return list(_NETWORK)
    if group.name == "constraints":
        return [
            (f"constraints.{field.name}", _limit_type(field.name), "`null`", _limit_meaning(field.name, meanings))
            for field in dataclasses.fields(Limits)
        ]
    if group.name == "augment":
        executor = type_text(typing.get_type_hints(AugmentPolicy, include_extras=True)["executor"])
        return [
            ("augment.executor", executor, "`auto`", "what applies the transforms; `auto` means `batched`"),
            ("augment.transforms", "list of transforms", "`[]`", "the transforms for every training image, in order"),
        ]
    if group.kind is None:
        return []
    rows = list(_dataclass_rows(group.kind, group.prefix, meanings, group.nested))
    if group.kind is DataSettings:
        nested = {key.removeprefix("shapes."): text for key, text in meanings.items() if key.startswith("shapes.")}
        rows += _dataclass_rows(ShapesSettings, "data.shapes", nested)
    return rows


def _dataclass_rows(kind: type, prefix: str, meanings: Mapping[str, str], nested: Sequence[str] = ()) -> Iterator[Row]:
    hints = typing.get_type_hints(kind, include_extras=True)
    default = kind()
    for field in dataclasses.fields(kind):
        if field.name in nested:
            continue
        key = f"{prefix}.{field.name}"
        value = getattr(default, field.name)
        value = list(value) if isinstance(value, tuple) else value
        yield key, _WORDS.get(key) or type_text(hints[field.name]), code(yaml_text(value)), meanings.get(field.name, "")


_WORDS = {
    "data.channels": "1, 3, or null; any number for a data set of a package",
    "data.name": ", ".join(map(code, DATASETS)) + ", or of a package",
    "study.enqueue": "list of mappings of keys to values",
    "study.objectives": "list of " + ", ".join(map(code, OBJECTIVES)) + ", or of a package",
    "study.heartbeat": "number, above 0 and below `study.grace`",
    "study.grace": "number, above `study.heartbeat`",
    "train.device": "`auto`, `cpu`, `mps`, `cuda`, `cuda:0`, ...",
}
"""The values of keys that more than their type decides."""
_MEANINGS = {
    "data": {
        "root": "folder of the images or of the published files; null: search in `data/` and the cache folder",
        "download": "whether to download a published data set that is missing",
        "channels": "1: grey, 3: RGB, null: as in the data set",
        "classes": "number of classes; null: as in the data set",
        "image_size": "height and width, px; null: as in the data set",
        "validation": "fraction of the training images used for validation, stratified; null: as the data set provides",
    },
}
"""What keys mean whose comments differ from option to option."""
_NAME = "the selected option; `GROUP=OPTION` sets it together with its other keys"


def _meanings(group: str) -> dict[str, str]:
    """Return what the comments of a group's files say of each key; the default option first."""
    chosen = defaults().get(group)
    files = sorted(options(group), key=lambda file: (-len(comments(file)), file.stem != chosen, file.stem))
    found: dict[str, str] = {} if group == "study" else {"name": _NAME.replace("GROUP", group)}
    found |= _MEANINGS.get(group, {})
    for file in files:
        for key, text in comments(file).items():
            found.setdefault(key, _CHOICES.sub("", text))
    return found


_CHOICES = re.compile(r"^\w\S*(?: \| [\w:]+)+[:;] ")
"""The words that a value may have, which begin a comment; the column of types has them."""
_LINE = re.compile(r"^(\s*)([a-z_0-9]+):(.*)$")


def comments(file: Path) -> dict[str, str]:
    """Return the comment behind each key of a YAML file, by dotted key."""
    found: dict[str, str] = {}
    above = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        if not (match := _LINE.match(line)):
            continue
        indent, key, rest = match.groups()
        value, _, comment = rest.partition(" # ")
        above = "" if not indent else above
        if comment:
            found[f"{above}{key}"] = comment.strip()
        if not value.strip():
            above = f"{key}."
    return found


def _top_rows() -> list[Row]:
    known = comments(config_folder() / "config.yaml")
    types = {"seed": ("integer, at least 0", "`0`"), "resume": ("text or null", "`null`")}
    return [(name, *types[name], known[name]) for name in _TOP]


def type_text(hint: Any) -> str:
    """Return the type of a value with its range, as a reader writes it in YAML."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        ranges = [one.text for one in arguments[1:] if isinstance(one, Range)]
        return ", ".join([type_text(arguments[0]), *ranges])
    if origin in (Union, types.UnionType):
        return ", or ".join(type_text(one) for one in arguments)
    if origin is Literal:
        return ", ".join(code(str(choice)) for choice in arguments)
    if origin is tuple:
        return f"list of {type_text(arguments[0])}"
    return {bool: "true or false", int: "integer", float: "number", str: "text", type(None): "null"}[hint]


def _limit_type(name: str) -> str:
    hint = typing.get_type_hints(Limits)[name]
    if Bound in get_args(hint):
        return "mapping of " + ", ".join(code(field.name) for field in dataclasses.fields(Bound)) + ", or null"
    if Downsampling in get_args(hint):
        return "mapping of `layers` (integer, at least 0) and `by` (`strided`, `dilated`), or null"
    return f"{', '.join(map(code, HEADS))}, or null" if name == "head" else "list of traits (below), or null"


def _limit_meaning(name: str, meanings: Mapping[str, str]) -> str:
    unit, meaning = LIMITS[name].unit, meanings.get(name, "")
    return meaning if not unit or meaning.startswith(unit) else f"{unit}; {meaning}"


def _layer_rows() -> Iterator[Sequence[str]]:
    for name, kind in KINDS.items():
        fields = [
            f"{'**' * (field == kind.main)}{code(field)}{'**' * (field == kind.main)} {code(yaml_text(default))}"
            for field, default in kind.fields.items()
        ]
        words = [f"{code(field)}: {', '.join(map(code, choices))}" for field, choices in kind.choices.items()]
        yield code(name), ", ".join(fields), "; ".join(words)


def _transform_rows() -> Iterator[Sequence[str]]:
    for name, hint in typing.get_type_hints(TransformChoice, include_extras=True).items():
        kind = get_args(hint)[0]
        hints = typing.get_type_hints(kind, include_extras=True)
        for place, field in enumerate(dataclasses.fields(kind)):
            first = "" if place else sentence((kind.__doc__ or "").partition("\n\n")[0])
            yield (
                code(name) if not place else "",
                code(field.name),
                type_text(hints[field.name]),
                code(yaml_text(field.default)),
                first,
            )
