"""The short form of `make fuzz`: a few inputs of each kind, always the same ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import attempt, drawn, keep, repeat
from strategies import STRATEGIES

INPUTS = {"expressions": 150, "blocks": 40, "networks": 25, "limits": 15, "spaces": 60, "overrides": 12, "yaml": 40}


@pytest.mark.parametrize("kind", STRATEGIES)
def test_no_input_ends_in_a_traceback_or_a_wrong_number(kind: str) -> None:
    outcomes: dict[str, int] = {}
    for payload in drawn(kind, seed=0, count=INPUTS[kind]):
        outcome, text, _ = attempt(kind, payload, longest=60.0)
        assert not text, f"{payload!r}\n{text}"
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert outcomes.keys() <= {"used", "refused"}
    assert sum(outcomes.values()) > INPUTS[kind] // 2


def test_a_failing_input_is_kept_and_repeated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome, text, _ = attempt("expressions", ("1 + 1", "3"))
    assert outcome == "disagreement"
    keep(tmp_path / "expressions-0-0.txt", text, repr(("1 + 1", "3")))
    assert repeat(tmp_path / "expressions-0-0.txt") == 1
    assert "1 + 1 gives 2, Python 3" in capsys.readouterr().out


def test_a_traceback_and_a_hang_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    import targets

    def never(payload: object) -> None:
        while True:
            pass

    monkeypatch.setattr(targets, "TARGETS", {"a": lambda payload: payload["missing"], "b": never})
    assert attempt("a", {})[0] == "traceback"
    assert attempt("b", {}, longest=0.05)[0] == "hang"
