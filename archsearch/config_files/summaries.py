"""One-line summaries of the options of groups: the first sentence of the comment at the top of their files."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

GROUPS = {
    "arch": "the network: named stages of blocks",
    "augment": "the augmentation of training images",
    "block": "the layers that a stage repeats",
    "constraints": "the limits, checked before training",
    "data": "the images",
    "experiment": "recipes: options of several groups together",
    "optimizer": "the optimizer and its learning rate",
    "pruner": "when a search stops a training early",
    "sampler": "how a search proposes designs",
    "schedule": "the learning rate over the training",
    "space": "what a search varies",
    "study": "the search: its length, workers, objectives and database",
    "tracking": "trackers that also receive the metrics",
    "train": "epochs, batch size, device and precision",
}
"""What the options of each shipped group describe."""
LONGEST = 87  # most characters of a summary


def option_files(folders: Sequence[Path]) -> dict[str, dict[str, Path]]:
    """Return the files in `folders` by group and option, without Hydra's own groups; later folders take precedence."""
    found: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for folder in folders:
        for place, inner, files in os.walk(folder):
            inner[:] = [name for name in inner if name[0] not in "._"]
            group = Path(place).relative_to(folder)
            if group.parts and group.parts[0] != "hydra":
                found[group.as_posix()] |= {file[:-5]: Path(place, file) for file in files if file.endswith(".yaml")}
    return {group: dict(sorted(options.items())) for group, options in sorted(found.items()) if options}


def first_sentence(file: Path) -> str:
    """Return the first sentence of the comment at the top of `file`, after the command; empty if there is none."""
    words: list[str] = []
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.startswith("#"):
                break
            text = line[1:].strip()
            if not text.startswith(("@package", "python -m")):
                words += text.split()
    return re.split(r"(?<!al)[.]\s+(?=[A-Za-z`])", " ".join(words))[0].rstrip(".")


def summary(file: Path) -> str:
    """Return the first sentence of `file`; a long one ends at a colon or semicolon outside parentheses, or a word."""
    text = first_sentence(file)
    if len(text) > LONGEST:
        text = re.split(r"(?<=.{20})[:;]\s(?![^(]*\))", text)[0]
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rpartition(' ')[0].rstrip(',')} ..."


def listing(folders: Sequence[Path], chosen: Mapping[str, str]) -> str:
    """Return one line per group in `folders` and per option, with `*` in front of the `chosen` one."""
    lines: list[str] = []
    for group, options in option_files(folders).items():
        about = GROUPS.get(group)
        lines.append(f"{group}: {about}" if about else group)
        for name, file in options.items():
            if (group, name) != ("arch", "file"):
                mark = "*" if chosen.get(group) == name else " "
                lines.append(f"  {mark} {name:<28} {summary(file)}".rstrip())
        lines.append("")
    return "\n".join(lines)
