"""The commands of the pages of docs/: cheap ones are run, the others composed, and those left out are listed here."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import documented
import pytest
from numpy.random import default_rng
from PIL import Image

from archsearch.cli.arguments import sources_given
from archsearch.cli.compose import Composer, compose_tree
from archsearch.overrides import group_of, key_of
from archsearch.settings.experiment import decode_experiment

CHECKOUT = documented.CHECKOUT
EXAMPLE = "cifar10-brisk"
README: dict[str, Any] = runpy.run_path(str(CHECKOUT / "tests" / "test_readme.py"))
SESSIONS = [
    pytest.param(page, command, shown, id=f"{page}: {command}")
    for page in ("docs/faq.md", "docs/get-started.md")
    for command, shown in README["sessions"](page)
]
SHOWN = {
    command
    for page in ("docs/faq.md", "docs/get-started.md", "docs/import.md")
    for command, _ in README["sessions"](page)
}
IMPORTED = "needs the module that tests/test_readme.py imports and trains nothing of"
INSTALLED = "needs the package that tests/plugins/test_example.py installs and runs"
EXPORTED = "exports a network, for seconds and with an extra; tests/runs/test_export.py does"
NOT_RUN = {
    "python -m archsearch.show module=FILE.py:CLASS": "a form, not a command; tests/cli/test_show_module.py runs it",
    "python -m archsearch.run arch=net.yaml arch.stages.last.dilation=3": IMPORTED,
    "python -m archsearch.run data.name=stripes tracking.name=csv augment=none": INSTALLED,
    "python -m archsearch.run -m space=cifar 'study.objectives=[accuracy,file_size]'": INSTALLED,
    "python -m archsearch.run -m space=cifar study.sampler.name=nsgaiii "
    "'study.objectives=[accuracy,macs,parameters]'": INSTALLED,
    "python -m archsearch.study export shapes-advanced_convolution --onnx net.onnx": EXPORTED,
    "python -m archsearch.study export STUDY --onnx net.onnx": EXPORTED,
    "python -m archsearch.study export STUDY --trial 7 --torch-export net.pt2": EXPORTED,
    "python -m archsearch.show card=RUN_DIR": "needs the images of a run; tests/runs/test_card.py draws cards",
    "python -m archsearch.show augment=strong samples=FILE.png": "may download CIFAR-10; run with data=folder below",
    "python -m archsearch.run -m ...": "a form, not a command",
    "python -m archsearch.show 'constraints.train_seconds={below: 300}'": "measures this machine for a minute; "
    "tests/cost/test_predicted_runs.py runs it with a model",
}
"""Commands that are neither run nor composed here, and why."""
COMMANDS = documented.commands()
RUN = sorted({*COMMANDS} - {*NOT_RUN} - SHOWN)


@pytest.fixture
def workplace() -> None:
    """Fill the folder of a test with what the pages speak of: images, a folder of groups, the shipped study."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = Path("DIR", split, name)
            folder.mkdir(parents=True)
            for place in range(4):
                Image.new("RGB", (32, 32), (40 * place, 60, 90)).save(folder / f"{split}{place}.png")
    Path("cifar10").symlink_to("DIR")  # what outputs/examples/best.yaml was trained on
    for path, content in documented.files_of(CHECKOUT / "docs" / "how-to" / "own-design.md").items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content, encoding="utf-8")
    Path("outputs").mkdir()
    Path("outputs/examples").symlink_to(CHECKOUT / "outputs" / "examples")


def filled(command: str) -> list[str]:
    """Return the words of a command, with files and names that exist in place of those that stand for any."""
    _, _, module, *words = shlex.split(command)
    stands = {"STUDY": EXAMPLE, "shapes-advanced_convolution": EXAMPLE}
    found = [module.removeprefix("archsearch.")]
    for word in words:
        word = stands.get(word, word).replace("outputs/runs/NAME", "outputs/examples/runs/0004")
        word = word.replace("outputs/sweeps/NAME/best.yaml", "outputs/examples/best.yaml")
        word = {"arch=NAME": "arch=brisk", "block=NAME": "block=dilated"}.get(word, word)
        found.append(word.replace("FILE.png", "file.png"))
    return found


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("command", RUN)
def test_a_command_of_a_page_works(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PASSWORD", "secret")
    name, *words = filled(command)
    if name == "study":
        main, _ = README["door"](command)
        named = [*words, "--storage", "sqlite:///outputs/examples/studies.db"] if words else words
        assert main(named) == 0, capsys.readouterr().err
    elif name == "show":
        main, _ = README["door"](command)
        code = main(words)
        assert code == 0 or (code == 2 and "BROKEN" in capsys.readouterr().out), capsys.readouterr().err
    else:
        compose(words)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("command", sorted({*documented.opening_commands().values()}))
def test_the_command_that_opens_a_file_of_conf_composes(command: str) -> None:
    _, *words = filled(command)
    compose(words)


def compose(words: list[str]) -> None:
    """Compose what a command `run` would train, for `-m` a design of its space; Hydra's own keys are left out.

    A launcher's keys exist only where its package is installed.
    """
    from hydra_plugins.archsearch_sweeper._grammar import read_request

    folder = [words[place + 1] for place, word in enumerate(words) if word == "--config-dir"]
    given = [word for word in words if not word.startswith("-") and word not in (*folder, "job")]
    given = [word for word in given if key_of(word) != "resume" and group_of(word).lstrip("+") != "hydra"]
    sources = sources_given(folder, None)
    if "-m" not in words:
        decode_experiment(*compose_tree(given, sources))
        return
    plain = read_request(given, None).base
    held = [word for word in given if word not in plain and group_of(word) in ("study", "space", "data", "constraints")]
    tree, blocks = compose_tree([*plain, *held], sources)
    decode_experiment(tree, blocks)
    chosen = next((word.partition("=")[2] for word in given if word.startswith("space=")), None)
    request = read_request(given, tree.get("space"), name=chosen)
    assert request.space.parameters
    rng = default_rng(0)
    drawn = {key: each.draw(rng) for key, each in request.space.parameters.items()}
    composed = Composer([*plain, *(word for word in held if word not in plain)], sources).compose(
        {**request.fixed, **drawn}
    )
    assert composed["arch"]["stages"]


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize(("page", "command", "shown"), SESSIONS)
def test_a_command_prints_what_its_page_shows(
    page: str, command: str, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main, words = README["door"](command)
    main(words)
    caught = capsys.readouterr()
    printed = [line.rstrip() for line in (caught.out + caught.err).splitlines()]
    assert README["fits"]([line for line in shown if line], [line for line in printed if line]), "\n".join(printed)


def test_commands_that_are_left_out_are_on_a_page() -> None:
    assert set(NOT_RUN) <= set(COMMANDS)
    assert all(NOT_RUN.values())
    assert len(RUN) > 40


def test_the_page_on_own_designs_shows_its_four_files() -> None:
    files = documented.files_of(CHECKOUT / "docs" / "how-to" / "own-design.md")
    assert set(files) == {
        f"my_conf/{name}.yaml" for name in ("block/two_scales", "arch/small", "constraints/phone", "space/small")
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("```\n$ python -m archsearch.show a=b   # why\nprinted\n```\n", ["python -m archsearch.show a=b"]),
        ("```\npython -m archsearch.run a=b \\\n  c=d\n```\n", ["python -m archsearch.run a=b c=d"]),
        ("see `python -m archsearch.study\nls`.", ["python -m archsearch.study ls"]),
        (
            "```\npython -m archsearch.run a && b\n# python -m archsearch.show c\n```\n",
            ["python -m archsearch.run a", "python -m archsearch.show c"],
        ),
        ("```\npip install archsearch\n```\n", []),
    ],
)
def test_commands_are_found_in_blocks_and_lines(text: str, expected: list[str]) -> None:
    assert list(documented.commands_in(text)) == expected


def test_a_placeholder_is_filled() -> None:
    assert filled("python -m archsearch.run outputs/sweeps/NAME/best.yaml train.epochs=60") == [
        "run",
        "outputs/examples/best.yaml",
        "train.epochs=60",
    ]
    words = {word for command in RUN for word in filled(command) if not word.startswith("hydra.")}
    assert not [word for word in words if re.search(r"\bNAME\b|\bSTUDY\b", word)]
