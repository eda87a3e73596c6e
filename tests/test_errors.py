from __future__ import annotations

import inspect
import pickle
import re

import pytest

from archsearch import errors
from archsearch.errors import ArchsearchError, DataError, InterruptedRun, RunError, SpecError, UsageError

EVERY = {
    name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, ArchsearchError)
}


@pytest.mark.parametrize(
    ("where", "what", "fix", "message"),
    [
        ("train.epochs", "must be a whole number", "", "train.epochs: must be a whole number"),
        ("train.epochs", "must be 1 or more", "Set it to 1.", "train.epochs: must be 1 or more. Set it to 1."),
        ("a.b", "unknown key.", "Did you mean 'c'?", "a.b: unknown key. Did you mean 'c'?"),
        ("a.b", "is that a width?", "Write 32.", "a.b: is that a width? Write 32."),
        ("", "no design given", "Name one.", "no design given. Name one."),
    ],
)
def test_a_spec_error_says_where_what_and_the_fix(where: str, what: str, fix: str, message: str) -> None:
    error = SpecError(where, what, fix)
    assert str(error) == message
    assert (error.where, error.what, error.fix) == (where, what, fix)


def test_a_spec_error_survives_the_way_between_processes() -> None:
    error = SpecError("arch.stem", "unknown key", "Did you mean 'block'?")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is SpecError
    assert (str(again), again.where, again.what, again.fix) == (str(error), error.where, error.what, error.fix)


def test_an_error_of_channels_is_a_spec_error_that_survives_it() -> None:
    error = errors.ChannelsError("arch.stem", "13 channels are not divisible by 2 groups", "Use 14.")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.fix) == (errors.ChannelsError, str(error), "Use 14.")


@pytest.mark.parametrize("name", sorted(EVERY.keys() - {"SpecError", "ChannelsError"}))
def test_every_other_error_survives_it_too(name: str) -> None:
    again = pickle.loads(pickle.dumps(EVERY[name]("train/cat/0001.jpg is no image")))
    assert (type(again), str(again)) == (EVERY[name], "train/cat/0001.jpg is no image")


def test_the_tree_in_the_docstring_is_the_tree_of_the_code() -> None:
    drawn = re.findall(r"(\w+) +(\d+)  +\S", inspect.getdoc(errors) or "")
    assert dict(drawn) == {name: str(kind.exit_code) for name, kind in EVERY.items()}


def test_what_a_user_can_fix_ends_with_2_and_what_broke_with_1() -> None:
    assert {SpecError.exit_code, DataError.exit_code, errors.LimitError.exit_code} == {UsageError.exit_code} == {2}
    assert errors.DivergedError.exit_code == RunError.exit_code == 1
    assert errors.StorageError.exit_code == 2
    assert InterruptedRun.exit_code == 130
