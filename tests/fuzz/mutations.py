"""Mutations of the shipped YAML: keys and values deleted, doubled, renamed, swapped, retyped; bytes changed."""

from __future__ import annotations

import copy
import functools
from itertools import islice
from random import Random
from typing import Any

import yaml

from archsearch.config_files import config_folder

GROUPS = (
    "arch",
    "block",
    "constraints",
    "augment",
    "optimizer",
    "schedule",
    "train",
    "study",
    "space",
    "data",
    "sampler",
    "pruner",
)
_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1,
    3,
    10**6,
    10**12,
    10**40,
    0.5,
    -1.5,
    float("nan"),
    float("inf"),
    "",
    "in",
    "out / 0",
    "x" * 500,
    "${block}",
    "${a}",
    "${arch}",
    "${.}",
    "${..name}",
    "???",
    "é",
    [],
    {},
    [1, 2],
    {"a": 1},
    [[[]]],
    "fit",
    "normal",
    "choice(1)",
]
_TEXTS = [
    b"\0",
    b"\xff\xfe",
    b"\xe9",
    b"\xef\xbb\xbf",
    b"&a ",
    b"*a ",
    b"<<: *a\n",
    b"!!python/name:os.system ",
    b"!!binary ",
    b"[",
    b"]",
    b"{",
    b"}",
    b": ",
    b"- ",
    b"? ",
    b"\t",
    b"\r\n",
    b"'",
    b'"',
    b"#",
    b"---\n",
    b"...\n",
    b"| ",
    b"> ",
    b"%YAML 9\n",
    b"@",
    b"`",
    b"${",
    b"}",
    b"a: &a [*a]\n",
    b"1_0",
    b"0x",
    b"1:2:3",
    b"2026-01-01",
    b"!!set ",
    b"!x ",
    b"~",
    b"defaults: [x]\n",
    b"defaults: 5\n",
    b"# @package _global_\n",
    b"_target_: os.system\n",
]


@functools.cache
def shipped_files() -> list[tuple[str, str]]:
    """Return the group and the name of every shipped file of a group that shapes an experiment."""
    return [
        (group, file.stem)
        for group in GROUPS
        for file in sorted((config_folder() / group).glob("*.yaml"))
        if file.stem != "file"
    ]


def mutated(group: str, name: str, seed: int) -> bytes:
    """Return the file `group/name` with a few changes that `seed` decides: of its structure, or of its bytes."""
    random = Random(seed)
    octets = (config_folder() / group / f"{name}.yaml").read_bytes()
    if random.random() < 0.6:
        tree = yaml.safe_load(octets)
        for _ in range(random.randint(1, 3)):
            tree = _restructured(tree, random)
        return yaml.safe_dump(tree, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")
    for _ in range(random.choice([1, 1, 2, 4])):
        octets = _rewritten(octets, random)
    return octets


def _restructured(tree: Any, random: Random) -> Any:
    """Return `tree` with one change at a random place."""
    tree = copy.deepcopy(tree)
    places = list(islice(_places(tree, ()), 300))
    if not places:
        return copy.deepcopy(random.choice(_VALUES))
    path = random.choice(places)
    parent = _at(tree, path[:-1])
    last = path[-1]
    match random.choice(["delete", "retype", "retype", "double", "rename", "swap", "wrap", "share", "number"]):
        case "delete":
            del parent[last]
        case "retype":
            parent[last] = copy.deepcopy(random.choice(_VALUES))
        case "double" if isinstance(parent, list):
            parent.extend(copy.deepcopy(parent[last : last + 1]) * random.choice([1, 3, 2000]))
        case "double" | "rename" if isinstance(parent, dict):
            parent[random.choice([f"{last}x", str(last)[:-1], "", "name", 3, True, None, "a.b", "ü"])] = copy.deepcopy(
                parent[last]
            )
        case "swap":
            other = random.choice(places)
            parent[last] = copy.deepcopy(_at(tree, other))
        case "wrap":
            depth = random.choice([1, 1, 5, 50])
            for _ in range(depth):
                parent[last] = random.choice([[parent[last]], {"a": parent[last]}])
        case "share":
            value = parent[last]
            for _ in range(random.choice([2, 9])):
                value = [value] * random.choice([2, 10])
            parent[last] = value
        case _:
            if isinstance(parent[last], int | float):
                parent[last] = parent[last] * random.choice([-1, 0, 2, 10, 1000, 10**9, 0.5])
    return tree


def _places(tree: Any, path: tuple[Any, ...]) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items)[:60]:
        yield (*path, key)
        if len(path) < 8:
            yield from _places(value, (*path, key))


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _rewritten(octets: bytes, random: Random) -> bytes:
    """Return `octets` with one change at a random place."""
    at = random.randrange(len(octets) + 1)
    end = min(len(octets), at + random.choice([1, 1, 4, 20]))
    match random.choice(["delete", "insert", "flip", "repeat", "move"]):
        case "delete":
            return octets[:at] + octets[end:]
        case "insert":
            return octets[:at] + random.choice(_TEXTS) + octets[at:]
        case "flip":
            return octets[:at] + bytes([random.randrange(256)]) + octets[at + 1 :]
        case "repeat":
            return octets[:at] + octets[at:end] * random.choice([2, 50]) + octets[end:]
        case _:
            to = random.randrange(len(octets) + 1)
            return octets[:to] + octets[at:end] + octets[to:]
