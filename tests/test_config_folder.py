from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.config_folder import config_folder
from archsearch.errors import StorageError


def test_the_checkout_has_it_beside_the_package(checkout: Path) -> None:
    assert config_folder() == checkout / "conf"


def test_a_wheel_has_it_inside_the_package_and_that_one_wins(tmp_path: Path) -> None:
    package = tmp_path / "site-packages" / "archsearch"
    (package / "conf").mkdir(parents=True)
    (tmp_path / "site-packages" / "conf").mkdir()
    assert config_folder(package) == package / "conf"


def test_a_broken_installation_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        config_folder(tmp_path / "archsearch")
    assert str(caught.value) == (
        "the shipped configuration is missing; looked in "
        f"{tmp_path / 'archsearch' / 'conf'} and {tmp_path / 'conf'}. Install archsearch again."
    )
