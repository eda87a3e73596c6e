"""Names that hold escape sequences: whatever command prints them, the terminal gets none."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import yaml
from hydra.errors import HydraException

from archsearch.cli.messages import report_error
from archsearch.errors import SpecError
from archsearch.notices import notice_once
from archsearch.run import main as run
from archsearch.search.progress import LiveDisplay, PlainDisplay
from archsearch.show import main as show
from archsearch.study import main as study
from archsearch.training.progress import Bars, Lines

EVIL = "e\x1b]0;title\x07\x1b[31mv\x9b2Ji\u202el\rb\u2028\u200bx"
DESIGN = {"stages": {"c1": {"block": "normal", "width": 8}}, "head": {"classes": 10}}


def controls(text: str) -> list[str]:
    """Return the characters of `text` that a terminal obeys, or that turn or hide what is around them."""
    return [one for one in text if one != "\n" and unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.fixture
def clean(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return what was printed since the last call; fails where a control character is in it."""

    def printed() -> str:
        out, err = capsys.readouterr()
        assert controls(out + err) == []
        return out + err

    return printed


@pytest.fixture
def hostile() -> str:
    """Return the address of a study whose names and attributes hold escape sequences."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    address = "sqlite:///studies.db"
    made = optuna.create_study(study_name=f"{EVIL}\nfake", storage=address, direction="maximize")
    made.set_user_attr("data", EVIL)
    made.set_user_attr("limits", EVIL)
    made.set_user_attr("objectives", [f"acc{EVIL}"])
    folder = Path(f"run{EVIL}".replace("/", ""))
    (folder / ".hydra").mkdir(parents=True)
    (folder / f"a{EVIL}.log").write_text(f"log {EVIL}\n")
    design = {"name": EVIL, "stages": {f"c{EVIL}": {"block": {"name": EVIL}, "width": EVIL, EVIL: EVIL}}, "width": EVIL}
    margin = {"limit": EVIL, "bound": EVIL, "found": EVIL, "kept": False, "slack": EVIL, "fixes": [EVIL]}
    for number, state in enumerate(["complete", "complete", "failed", "infeasible"]):
        attrs = {
            "state_reason": state, "cause": EVIL, "traceback": f"a\nb {EVIL}", "device": EVIL, "worker": EVIL,
            "design": yaml.safe_dump(design), "margins": json.dumps([margin]), "unused": [EVIL],
            "repairs": {EVIL: EVIL}, "assignments": {f"arch.{EVIL}": EVIL, "block": f"{EVIL}{number}"},
            "run_dir": str(folder), "key": EVIL, "base": [f"arch.name='{EVIL}'"],
            "parameters": EVIL, "seconds": EVIL, "design_id": EVIL,
        }  # fmt: skip
        states = {"failed": optuna.trial.TrialState.FAIL, "infeasible": optuna.trial.TrialState.PRUNED}
        values = [0.5] if state == "complete" else None
        found = states.get(state, optuna.trial.TrialState.COMPLETE)
        made.add_trial(
            optuna.trial.create_trial(
                state=found, values=values, user_attrs=attrs, system_attrs={f"constraints:{EVIL}": 1.0}
            )
        )
    return address


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls"], ["show"], ["show", "--state", "failed"], ["best"], ["trial", "0"], ["trial", "2"],
        ["compare", "0", "1"], ["why"], ["export", "--csv", f"{EVIL}.csv"], ["report"], ["doctor"],
        ["show", f"no{EVIL}"],
        ["show", "--by", EVIL], ["trial", EVIL], [EVIL], ["ls", "--storage", f"sqlite:///{EVIL}.db"],
        ["ls", "--storage", EVIL], ["ls", "--json"], ["trial", "0", "--json"], ["export", "--onnx", f"{EVIL}.onnx"],
    ],
    ids=lambda given: " ".join(given)[:12].encode("ascii", "replace").decode().replace("\x1b", ""),
)  # fmt: skip
def test_a_hostile_study_sends_no_escape_sequence(arguments: list[str], hostile: str, clean: Callable[[], str]) -> None:
    study([*arguments, *([] if "--storage" in arguments else ["--storage", hostile])])
    printed = clean()
    assert printed
    assert "\nfake" not in printed


def test_several_studies_are_listed_without_escape_sequences(hostile: str, clean: Callable[[], str]) -> None:
    optuna.create_study(study_name=f"second{EVIL}\nfake", storage=hostile)
    assert study(["show", "--storage", hostile]) == 2
    assert study(["show", "--storage", hostile, f"second{EVIL}\nfak"]) == 2
    assert "\nfake" not in clean()


@pytest.mark.parametrize(
    "error",
    [SpecError(EVIL, EVIL, EVIL), HydraException(EVIL), OSError(2, EVIL, EVIL), RuntimeError(EVIL)],
    ids=lambda error: type(error).__name__,
)
def test_errors_send_no_escape_sequence(error: Exception, clean: Callable[[], str]) -> None:
    for in_full in (False, True):
        report_error(error, in_full=in_full)
        assert "�" in clean()


@pytest.mark.parametrize(
    "given",
    [
        f"arch.name={EVIL}",
        f"arch.name='{EVIL}'",
        f"arch={EVIL}",
        f"arch={EVIL}.yaml",
        EVIL,
        f"{EVIL}=1",
    ],
    ids=range(6),
)
def test_what_the_command_line_quotes_sends_no_escape_sequence(given: str, clean: Callable[[], str]) -> None:
    for command in (run, show):
        command([given, "constraints.parameters.below=1"])
        assert "�" in clean()


def test_flags_that_are_not_known_send_no_escape_sequence(clean: Callable[[], str]) -> None:
    with pytest.raises(SystemExit):
        show([f"--{EVIL}"])
    assert "unrecognized arguments: --e�]0;title" in clean()


def test_a_hostile_design_sends_no_escape_sequence(clean: Callable[[], str]) -> None:
    Path("design.yaml").write_text(yaml.safe_dump({**DESIGN, "name": f"{EVIL}\nkept   parameters"}))
    for arguments in (["arch=design.yaml", "constraints=none"], ["arch=design.yaml", "constraints.parameters.below=1"]):
        show(arguments)
        assert "\nkept   parameters" not in clean()
    assert run(["arch=design.yaml", "constraints.parameters.below=1"]) == 2
    assert "\nkept   parameters" not in clean()
    Path("design.yaml").write_text(yaml.safe_dump({**DESIGN, f"a{EVIL}": 1}))
    assert show(["arch=design.yaml"]) == 2
    assert "unknown key" in clean()


def test_the_names_of_options_send_no_escape_sequence(clean: Callable[[], str]) -> None:
    Path("mine/block").mkdir(parents=True)
    Path(f"mine/block/{EVIL}.yaml").write_text("layers: [act]\n")
    assert run(["--config-dir", "mine", "--help"]) == 0
    assert "e�]0;title" in clean()
    assert run(["--config-dir", "mine", "block=nothing"]) == 2
    assert "unknown option 'nothing'" in clean()
    Path("mine/experiment").mkdir()
    Path("mine/experiment/it.yaml").write_text(yaml.safe_dump({"a": EVIL}, allow_unicode=True))
    assert run(["--config-dir", "mine", "experiment=it", "--cfg", "job"]) == 0
    assert "experiment:" in clean()


def test_progress_and_notices_send_no_escape_sequence(clean: Callable[[], str]) -> None:
    import sys

    from rich.console import Console

    notice_once(EVIL)
    Lines(sys.stderr).note(EVIL)
    Bars(sys.stderr).note(EVIL)
    PlainDisplay(sys.stderr).print(EVIL)
    LiveDisplay(Console(file=sys.stderr)).print(EVIL)
    bars = Bars(sys.stderr)
    bars._bars = SimpleNamespace(console=Console(file=sys.stderr), stop=lambda: None)  # type: ignore[assignment]
    bars.note(EVIL)
    assert clean().count("�]0;title") == 6
