"""The sessions in the README: each command that stands behind `$ ` is run, and what stands below it must come out.

A line `...` stands for any lines, `...` within a line for any text; how wide the columns are does not count.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from archsearch.search.storage.attributes import NOTICE

CHECKOUT = Path(__file__).resolve().parents[1]
PROGRAM = "$ python -m archsearch."


def sessions(page: str = "README.md") -> list[tuple[str, list[str]]]:
    """Return each command of a page with the lines that it shows."""
    found: list[tuple[str, list[str]]] = []
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        inside = False
        for line in block.splitlines():
            if line.startswith("$ "):
                inside = line.startswith(PROGRAM)
                if inside:
                    found.append((line.removeprefix("$ "), []))
            elif inside:
                found[-1][1].append(line)
    return found


def listed() -> list[str]:
    """Return the commands over a study that the README lists, without what is said of them."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^(python -m archsearch\.study .*?)\s*(?:#.*)?$", text, re.MULTILINE)


def fits(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Return whether `printed` is what `shown` says."""
    pattern = ""
    for line in shown:
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            words = (re.escape(word).replace(r"\.\.\.", ".*") for word in line.split())
            pattern += rf"[ ]*{'[ ]+'.join(words)}[ ]*\n"
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in printed)) is not None


def door(command: str) -> tuple[Callable[[Sequence[str]], int], list[str]]:
    """Return the function that the command calls, and what it is given."""
    import archsearch.run
    import archsearch.show
    import archsearch.study

    doors = {"run": archsearch.run.main, "show": archsearch.show.main, "study": archsearch.study.main}
    _, _, module, *arguments = shlex.split(command)
    return doors[module.removeprefix("archsearch.")], arguments


STUDENT = [one for one in sessions() if "model.py" in one[0] or "net.yaml" in one[0]]


@pytest.mark.parametrize(("command", "shown"), [one for one in sessions() if one not in STUDENT])
def test_a_command_prints_what_the_readme_shows(
    command: str, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("outputs").mkdir()
    Path("outputs/examples").symlink_to(CHECKOUT / "outputs" / "examples")
    main, arguments = door(command)
    main(arguments)
    caught = capsys.readouterr()
    once = f"notice: {NOTICE}"  # of the first of these tests in a process
    printed = [line.rstrip() for line in (caught.out + caught.err).splitlines() if line != once]
    assert fits([line for line in shown if line], [line for line in printed if line]), "\n".join(printed)


def test_a_students_network_is_imported_as_its_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    text = (CHECKOUT / "docs" / "import.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(# model.py\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ours = (CHECKOUT / "examples" / "model.py").read_text(encoding="utf-8")
    assert code.partition("\n")[2] == ours.partition("\n")[2]
    Path("model.py").write_text(code)
    found = sessions("docs/import.md")
    assert len(found) == 2
    for command, shown in found:
        main, arguments = door(command)
        main(arguments)
        caught = capsys.readouterr()
        printed = [line.rstrip() for line in (caught.out + caught.err).splitlines()]
        assert fits([line for line in shown if line], [line for line in printed if line]), "\n".join(printed)


def test_a_students_network_is_imported_fixed_and_trained_as_the_readme_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("examples").symlink_to(CHECKOUT / "examples")
    codes: list[int] = []
    for command, shown in STUDENT:
        main, arguments = door(command)
        codes.append(main(arguments))
        caught = capsys.readouterr()
        printed = [line.rstrip() for line in (caught.out + caught.err).splitlines()]
        lines = [line for line in printed if line and not line.startswith("notice:")]
        # what a run prints on stderr, its progress, stands before its result on a terminal
        lines.sort(key=lambda line: line.startswith(("test accuracy", "files: ", "study: ")))
        assert fits([line for line in shown if line], lines), "\n".join(printed)
    assert codes == [2, 0]


def test_every_picture_of_the_readme_is_there_and_has_an_alternative_text() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    pictures = [(file, alt) for alt, file in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", text)]
    pictures += re.findall(r'<img src="([^"]+)"[^>]* alt="([^"]+)"', text)
    assert len(pictures) == text.count("<img ") + text.count("![") >= 4
    for file, alt in pictures:
        assert (CHECKOUT / file).is_file()
        assert len(alt.split()) > 8


def test_there_are_sessions_and_they_show_every_command_over_a_study() -> None:
    from archsearch.cli.study import commands

    def names(lines: list[str]) -> set[str]:
        return {line.split()[3] for line in lines if line.startswith("python -m archsearch.study ")}

    assert names([command for command, _ in sessions()]) == names(listed())
    assert names(listed()) == set(commands.commands)


@pytest.mark.parametrize("command", listed())
def test_a_listed_command_works_on_the_example_study(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(CHECKOUT / "outputs" / "examples", "outputs/examples")
    main, arguments = door(command)
    meant = {"STUDY": "cifar10-brisk", "FILE": "file.csv"}
    given = [meant.get(argument, argument) for argument in arguments]
    assert main([*given, "--storage", "sqlite:///outputs/examples/studies.db"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    ("shown", "printed", "expected"),
    [
        (["a  b"], ["a b"], True),
        (["a ... c", "..."], ["a b b c", "d", "e"], True),
        (["a", "...", "d"], ["a", "d"], True),
        (["a"], ["a", "b"], False),
        (["a.c"], ["abc"], False),
        (["a ..."], ["b c"], False),
    ],
)
def test_what_fits(shown: list[str], printed: list[str], expected: bool) -> None:
    assert fits(shown, printed) is expected
