"""The user's own folders of groups and main file are kept by every command that goes on from another one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import yaml

from archsearch.cli.arguments import hydra_arguments
from archsearch.cli.compose import compose_tree
from archsearch.cli.run import main
from archsearch.cli.show import main as show
from archsearch.cli.study import main as study
from archsearch.config_files import ConfigSources, sources_of_run
from archsearch.errors import SpecError

TINY = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch.width=0.25", "constraints=none",
    "train.epochs=1", "train.batch_size=16", "train.compile=false", "train.device=cpu",
]  # fmt: skip


@pytest.fixture
def mine() -> Path:
    """Make a folder with a block, a space and a main file."""
    texts = {
        "block/own.yaml": "options: {kernel: 3, shortcut: none}\nlayers: [{conv: {kernel: kernel}}]\n",
        "space/two.yaml": "arch.stages.c1.width: choice(8, 16)\n",
        "other.yaml": "defaults: [config, _self_]\nseed: 5\n",
    }
    for name, text in texts.items():
        Path("mine", name).parent.mkdir(parents=True, exist_ok=True)
        Path("mine", name).write_text(text)
    return Path("mine").absolute()


@pytest.mark.parametrize(
    ("sources", "flags"),
    [
        (ConfigSources(), []),
        (ConfigSources(folders=("/a",)), ["--config-dir", "/a"]),
        (ConfigSources(folders=("/a", "/b c"), name="n"),
         ["--config-dir", "/a", "--config-name", "n", "hydra.searchpath=['/b c']"]),
        (ConfigSources(folders=("pkg://x",)), ["hydra.searchpath=['pkg://x']"]),
    ],
)  # fmt: skip
def test_they_are_written_and_read(sources: ConfigSources, flags: list[str]) -> None:
    assert sources.flags() == flags
    assert ConfigSources.from_record(sources.record()) == sources
    assert ConfigSources.from_hydra(sources.hydra_record()) == sources
    Path("run/.hydra").mkdir(parents=True)
    Path("run/.hydra/hydra.yaml").write_text(yaml.safe_dump({"hydra": sources.hydra_record()}))
    assert sources_of_run(Path("run")) == sources


@pytest.mark.parametrize("text", ["", "[]", "hydra: 3", "- [", "hydra: {runtime: {config_sources: [{}]}}"])
def test_a_damaged_record_has_none(text: str) -> None:
    Path("run/.hydra").mkdir(parents=True)
    Path("run/.hydra/hydra.yaml").write_text(text)
    assert sources_of_run(Path("run")) == ConfigSources()
    assert sources_of_run(Path("nowhere")) == ConfigSources()
    assert ConfigSources.from_record({"config_dirs": "x", "config_name": 3}) == ConfigSources()
    hostile = ConfigSources.from_record({"config_dirs": ["--info", 3], "config_name": "--experimental-rerun=x"})
    assert hostile.flags() == ["--config-dir", str(Path("--info").absolute())]


def test_a_search_keeps_them(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search = ["-m", "--config-dir", "mine", "--config-name", "other", "space=two", "block=own", "study.trials=1"]
    assert main([*search, *TINY, "hydra.sweep.dir=sweep"]) == 0
    assert (
        f"again: python -m archsearch.run --config-dir {mine} --config-name other block=own" in capsys.readouterr().out
    )
    assert yaml.safe_load(Path("sweep/0000/result.json").read_text())["seed"] == 5
    assert study(["best"]) == 0
    printed = capsys.readouterr().out
    command = printed[printed.index("python -m archsearch.run") :].splitlines()[0]
    assert f"--config-dir {mine} --config-name other" in command
    assert main([*shlex.split(command)[3:], "hydra.run.dir=first"]) == 0
    assert main(["sweep/best.yaml", "hydra.run.dir=second"]) == 0
    assert show(["sweep/best.yaml"]) == 0
    designs = [Path(folder, "design.yaml").read_text() for folder in ("sweep/0000", "first", "second")]
    assert designs[0] == designs[1] == designs[2]
    capsys.readouterr()
    mine.rename("moved")
    assert main(["sweep/best.yaml"]) == 2
    assert f"sweep/best.yaml: folder '{mine}' not found. If it has moved, give the" in capsys.readouterr().err
    assert show(["sweep/best.yaml", "--config-dir", "moved"]) == 0
    moved = str(Path("moved").absolute())
    assert hydra_arguments(["sweep/best.yaml", "--config-dir", moved])[-4:] == (
        ["--config-dir", moved, "--config-name", "other"]
    )


def test_what_the_command_line_gives_wins(mine: Path) -> None:
    Path("best.yaml").write_text("overrides: [seed=3]\nconfig_dirs: [/nowhere]\nconfig_name: other\n")
    assert hydra_arguments(["best.yaml", "--config-dir", "mine", "--config-name", "config"]) == (
        ["seed=3", "--config-dir", "mine", "--config-name", "config"]
    )
    with pytest.raises(SpecError, match=r"best.yaml: folder '/nowhere' not found. If it has moved"):
        hydra_arguments(["best.yaml", "-m"])


def test_a_main_file_of_the_users_is_composed(mine: Path) -> None:
    sources = ConfigSources(folders=(str(mine),), name="other")
    assert compose_tree(["block=own"], sources)[0]["seed"] == 5
    with pytest.raises(SpecError, match=r"--config-name: no file nosuch.yaml .* --config-dir FOLDER"):
        compose_tree([], ConfigSources(folders=(str(mine),), name="nosuch"))


def test_values_of_hydra_are_the_same_in_a_search() -> None:
    tree, _ = compose_tree(["arch.name=${hydra:runtime.cwd}/x", "data=shapes"])
    assert tree["arch"]["name"] == f"{Path.cwd()}/x"
    assert "hydra" not in tree


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config-path", "x"], "--config-path: takes the place of the shipped groups, which archsearch needs."),
        (["--experimental-rerun", "x"], "--experimental-rerun: reads a pickle, which can run code. Continue a run"),
        (["--multrun"], "unrecognized arguments: --multrun. Did you mean '--multirun'?"),
        (["--cfg", "jb"], "invalid choice: 'jb'"),
    ],
)
def test_flags_that_are_refused(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(flags) == 2
    assert message in capsys.readouterr().err
    assert list(Path().iterdir()) == []
