"""Designs for the tests of this package: checked, by the name of a shipped network, each composed once."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from archsearch.analysis.check import Checked, check_design
from archsearch.analysis.limits import decode_limits
from archsearch.cli.compose import Composer
from archsearch.design.spec import decode_design
from archsearch.search.storage.read import StudyRead

sys.path.insert(0, str(Path(__file__).parent))  # for the modules that these tests share
from study_fakes import plausible


@pytest.fixture(scope="session")
def shipped() -> Callable[[str], Checked]:
    """Return the function that gives a shipped network, checked against the default limits with fixes."""
    composer = Composer()

    @functools.cache
    def find(name: str) -> Checked:
        tree = composer.compose({"arch": name})
        limits = decode_limits(tree["constraints"])
        return check_design(decode_design(tree["arch"], composer.blocks), limits, composer.blocks)

    return find


@pytest.fixture(scope="session")
def designed() -> Callable[..., Checked]:
    """Return the function that checks a design given as a mapping against limits given as a mapping."""
    composer = Composer()

    def find(design: Mapping[str, Any], limits: Mapping[str, Any] | None = None) -> Checked:
        return check_design(decode_design(design, composer.blocks), decode_limits(limits))

    return find


@pytest.fixture(scope="session")
def searched() -> Callable[..., StudyRead]:
    """Return the function that makes a plausible study, each once; see `study_fakes.plausible`."""

    @functools.cache
    def checked(arch: str, block: str) -> Checked:
        composer = Composer([f"arch={arch}", f"block={block}"])
        tree = composer.compose({})
        return check_design(decode_design(tree["arch"], composer.blocks), decode_limits(tree["constraints"]))

    return functools.cache(functools.partial(plausible, checked))
