"""The shipped YAML, YAML files as Hydra reads them, and blocks by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.config_files import block_lookup, config_folder, groups, option_file, read_yaml
from archsearch.errors import SpecError, StorageError


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


def test_the_users_folder_comes_first(tmp_path: Path) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "block" / "normal.yaml").write_text("layers: []\n")
    (tmp_path / "block" / "mine.yaml").write_text("layers: [act]\n")
    blocks = block_lookup([tmp_path, config_folder()])
    assert blocks("normal") == {"layers": []}
    assert blocks("mine") == {"layers": ["act"]}
    assert blocks("strided") == read_yaml(config_folder() / "block" / "strided.yaml")
    with pytest.raises(SpecError, match=r"unknown block 'mien'. Did you mean 'mine'?"):
        blocks("mien")
    with pytest.raises(SpecError, match="unknown block"):
        blocks("../arch/c1c2c3c4")


@pytest.mark.parametrize(
    ("scalar", "value"),
    [("1e-3", 0.001), ("1e5", 1e5), ("yes", True), ("017", 15), ("2026-11-25", "2026-11-25"), ("'${a.b}'", "${a.b}")],
)
def test_a_file_means_what_hydra_reads(tmp_path: Path, scalar: str, value: object) -> None:
    (tmp_path / "file.yaml").write_text(f"key: {scalar}\n")
    found = read_yaml(tmp_path / "file.yaml")["key"]
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\na: 2\n", "is not valid YAML: found duplicate key a"),
        (b"a: \xe9\n", "cannot be read"),
        (b"- a\n", "must contain a mapping"),
        (b"a: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
    ],
)
def test_a_file_that_holds_no_configuration_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file.yaml").write_bytes(content)
    with pytest.raises(SpecError, match=message) as caught:
        read_yaml(tmp_path / "file.yaml")
    assert str(tmp_path / "file.yaml") in str(caught.value)
    with pytest.raises(SpecError, match="is a folder"):
        read_yaml(tmp_path)


def test_options_are_found_by_group_and_name() -> None:
    assert {"arch", "block", "train"} <= set(groups())
    assert "hydra" not in groups()
    assert option_file("arch", "resnet20") == config_folder() / "arch" / "resnet20.yaml"
    with pytest.raises(SpecError, match=r"arch: unknown option 'resnet2'\. Did you mean 'resnet20'"):
        option_file("arch", "resnet2")
