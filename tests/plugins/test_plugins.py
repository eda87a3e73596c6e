"""Parts of installed packages: found by name, imported only when chosen, and explained where that fails."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archsearch import plugins
from archsearch.errors import SpecError

GROUP = plugins.DATASETS
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that installs a package of some name, with one module and one entry point."""

    def make(package: str, entry: str, text: str = "") -> None:
        place = tmp_path / package
        record = place / f"{package}-1.2.dist-info"
        record.mkdir(parents=True)
        (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (record / "entry_points.txt").write_text(f"[{GROUP}]\n{entry}\n")
        (place / f"{package}_code.py").write_text(text)
        monkeypatch.syspath_prepend(str(place))
        plugins._entry_points.cache_clear()

    yield make
    plugins._entry_points.cache_clear()


def test_a_part_is_found_by_name_and_imported_only_when_loaded(install: Install) -> None:
    install("pack", "stripes = pack_code:made", "made = len")
    assert "stripes" in plugins.names(GROUP)
    plugins.require_name("stripes", ("shapes",), GROUP, "data.name")
    assert "pack_code" not in sys.modules
    assert plugins.load(GROUP, "stripes", "data.name") is len


def test_an_unknown_name_is_refused_with_the_likeliest_one(install: Install) -> None:
    install("pack", "stripes = pack_code:made")
    with pytest.raises(SpecError) as caught:
        plugins.require_name("stripe", ("shapes",), GROUP, "data.name")
    assert str(caught.value) == "data.name: unknown value 'stripe'. Did you mean 'stripes'?"
    with pytest.raises(SpecError, match=r"data\.name: unknown value '7'\. Choose one of shapes, .*stripes"):
        plugins.require_name(7, ("shapes",), GROUP, "data.name")
    with pytest.raises(
        SpecError, match=r"no installed package provides 'stripe' in archsearch\.datasets\. Did you mean"
    ):
        plugins.load(GROUP, "stripe", "data.name")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import absent_library", r"ModuleNotFoundError: No module named 'absent_library'"),
        ("", "AttributeError: module 'broken_code' has no attribute 'made'"),
        ("raise ValueError", "ValueError"),
    ],
)
def test_a_broken_package_is_named_with_what_happened(install: Install, text: str, reason: str) -> None:
    sys.modules.pop("broken_code", None)
    install("broken", "stripes = broken_code:made", text)
    with pytest.raises(SpecError) as caught:
        plugins.load(GROUP, "stripes", "data.name")
    assert str(caught.value) == (
        "data.name: the package broken 1.2 provides 'stripes' as broken_code:made, which cannot be imported "
        f"({reason}). Update or reinstall the package, or choose another."
    )


def test_a_name_that_two_packages_offer_is_refused(install: Install) -> None:
    install("one", "stripes = one_code:made")
    install("two", "stripes = two_code:made")
    with pytest.raises(SpecError, match=r"'stripes' is provided by several packages: one 1\.2, two 1\.2"):
        plugins.load(GROUP, "stripes", "data.name")


def test_a_built_in_name_needs_no_look_at_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_entry_points", lambda group: pytest.fail("the packages were looked through"))
    plugins.require_name("shapes", ("shapes",), GROUP, "data.name")
