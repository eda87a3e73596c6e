"""Errors of the commands: masked, in one message, with an exit code."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import yaml
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from archsearch.cli.messages import exit_code, explain, known_error, report_error
from archsearch.errors import InterruptedRun, RunError, SpecError


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (SpecError("a.b", "is wrong", "Fix it."), 2, "a.b: is wrong. Fix it.\n"),
        (RunError("postgresql://me:s3cret@h/d is gone"), 1, "postgresql://me:***@h/d is gone\n"),
        (InterruptedRun("stopped"), 130, "stopped\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (OSError(errno.ENOSPC, "No space", "/x"), 2, "/x: cannot be written: the disk is full. Free some space.\n"),
    ],
)
def test_one_message_and_the_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
) -> None:
    assert report_error(error, in_full=False) == code
    assert capsys.readouterr().err == message


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_an_unknown_error_keeps_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert known_error(raised(ValueError("a bug"))) is None
    assert report_error(raised(ValueError("a bug at postgresql://me:s3cret@h/d")), in_full=False) == 1
    message = capsys.readouterr().err
    assert "Traceback" in message
    assert "ValueError: a bug at postgresql://me:***@h/d" in message


def test_in_full_there_is_a_traceback_and_the_same_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    assert report_error(raised(SpecError("a", "is wrong"))) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2", "\t- x"])
def test_broken_yaml_is_reported_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(yaml.YAMLError) as caught:
        OmegaConf.load(tmp_path / "bad.yaml")
    assert str(explain(caught.value)).startswith(f"{tmp_path / 'bad.yaml'}, line ")
    assert isinstance(known_error(caught.value), SpecError)


def test_a_variable_that_is_not_set_is_named() -> None:
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.to_container(OmegaConf.create({"a": "${oc.env:NOT_SET_AT_ALL}"}), resolve=True)
    assert "the environment variable 'NOT_SET_AT_ALL' is not set. Set it: export NOT_SET" in str(explain(caught.value))


def test_a_value_that_is_missing_is_named() -> None:
    with pytest.raises(OmegaConfBaseException) as caught:
        OmegaConf.to_container(OmegaConf.create({"a": {"b": "???"}}), throw_on_missing=True)
    assert str(explain(caught.value)) == "a.b: a value is required. Set it: a.b=..."


def test_an_error_of_hydra_without_a_place_is_passed_on() -> None:
    assert str(explain(HydraException("all is lost at postgresql://me:s3cret@h/d"))) == (
        "all is lost at postgresql://me:***@h/d"
    )


def test_a_closed_pipe_is_no_error(capfd: pytest.CaptureFixture[str]) -> None:
    def write() -> int:
        raise BrokenPipeError

    out = os.dup(1)
    try:
        assert exit_code(write) == 0
    finally:
        os.dup2(out, 1)
        os.close(out)
    assert capfd.readouterr().err == ""
