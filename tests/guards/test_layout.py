"""Guard: no module outgrows one concept, no folder fifteen modules, and every YAML says how it is used."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
LONGEST = 500  # lines; past that a module holds two concepts
FULLEST = 15  # modules in a folder


def project_files() -> list[Path]:
    """Return what git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip(f"this is no git checkout: {listed.stderr.strip()}")
    return [path for name in listed.stdout.split("\0") if name and (path := CHECKOUT / name).is_file()]


def relative(path: Path) -> str:
    return path.relative_to(CHECKOUT).as_posix()


CONFIGS = sorted(relative(path) for path in (CHECKOUT / "conf").rglob("*.yaml"))


def test_no_file_outgrows_its_job() -> None:
    lengths = {relative(path): len(path.read_bytes().splitlines()) for path in CHECKOUT.glob("*/**/*.py") if mine(path)}
    assert lengths
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_no_folder_is_too_full() -> None:
    counts: dict[str, int] = {}
    for top in ("archsearch", "hydra_plugins"):
        for path in (CHECKOUT / top).rglob("*.py"):
            counts[relative(path.parent)] = counts.get(relative(path.parent), 0) + (not path.name.startswith("__"))
    assert counts
    assert {folder: count for folder, count in counts.items() if count > FULLEST} == {}


def mine(path: Path) -> bool:
    return relative(path).partition("/")[0] in {"archsearch", "benchmarks", "hydra_plugins", "tests"}


@pytest.mark.parametrize("config", CONFIGS)
def test_every_yaml_opens_with_the_command_that_uses_it(config: str) -> None:
    lines = (CHECKOUT / config).read_text(encoding="utf-8").splitlines()
    opening = lines[: next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))]
    assert any("python -m archsearch" in line for line in opening), f"{config} opens with {opening or lines[:1]}"


# Written in pieces, so that this file does not hold what it looks for.
FORBIDDEN = {
    "the host of a package registry": "|".join(
        ["pypi" + r"\.org", "python" + "hosted", "registry" + r"\.npm", "deb" + r"\.debian", "index" + "-url"]
    ),
    "a path of one machine": "|".join(
        [r"(?<![\w.])/wo" + "rk/", r"(?<![\w.])/ro" + "ot/", r"(?<![\w.])/ho" + r"me/\w"]
    ),
    "work left by a merge": r"^(?:<{7}|>{7}) ",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what], re.MULTILINE)
    found: dict[str, list[str]] = {}
    for path in project_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        if hits := pattern.findall(text):
            found[relative(path)] = sorted(set(hits))
    assert not found, f"{what}: {found}"


def test_the_readme_opens_with_the_two_commands() -> None:
    opening = (CHECKOUT / "README.md").read_text(encoding="utf-8")[:1500]
    assert 0 <= opening.find("make run") < opening.find("make test")
