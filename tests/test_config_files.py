"""The shipped YAML, YAML files as Hydra reads them, and blocks by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.config_files import block_lookup, config_folder, groups, option_file, read_recorded, read_yaml
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
        (b"a: 1\nb: \xe9\n", r"is not UTF-8 text \(byte 0xe9 in line 2\)\. Save it as UTF-8"),
        (b"- a\n", "must contain a mapping"),
        (b"a: !!python/object/apply:os.getcwd []\n", "line 1: the tag .* is not allowed"),
        (b"a: !!python/object/apply:pathlib.Path [x]\n", "line 1: the tag .* is not allowed"),
        (b"a: !!int x\n", "cannot be read"),
        (b"a: 1\nb: \0\n", "line 2: contains the control character 0x00"),
        (b"? [1, 2]\n: 1\n", "line 1: a list or a mapping cannot be a key"),
        (b"a: &x [1]\n*x : 2\n", "is not valid YAML: found unhashable key|cannot be a key"),
        (b"a: &x [1, *x]\n", "line 1: the anchor 'x' contains itself"),
        (b"a: &x {b: {<<: *x}}\n", "the anchor 'x' contains itself"),
        (b"a: 0x" + b"f" * 4000, "line 1: a number of 4002 characters. At most 100 are allowed"),
        (b"a: " + b"9" * 5000, "line 1: a number of 5000 characters"),
        (b"a: " + b"[" * 40 + b"]" * 40, "line 1: is nested more than 32 levels deep"),
        (b"a: " + b"[" * 100_000, "line 1: is nested more than 32 levels deep"),
        (b"a: [" + b"1," * 5_000 + b"]", "line 1: more than 5000 values"),
        (b"# " + b"x" * (1 << 18), "is larger than 262144 bytes"),
        (b"a: *x\n", "is not valid YAML: found undefined alias"),
        (b"a: ${b\n", "cannot be read"),
        (b"a: &a ${b}\nc: [" + b"*a," * 200 + b"]", "line 2: more than 5000 values"),
    ],
)
def test_a_file_that_holds_no_configuration_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file.yaml").write_bytes(content)
    with pytest.raises(SpecError, match=message) as caught:
        read_yaml(tmp_path / "file.yaml")
    assert str(tmp_path / "file.yaml") in str(caught.value)
    with pytest.raises(SpecError, match="is a folder"):
        read_yaml(tmp_path)


def test_anchors_that_multiply_are_refused_before_they_do(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{one}: &a{one} [{', '.join([f'*a{one - 1}'] * 10)}]" for one in range(1, 30)]
    (tmp_path / "file.yaml").write_text("\n".join(lines))
    with pytest.raises(SpecError, match=r"file\.yaml, line 4: more than 5000 values\. An anchor counts wherever"):
        read_yaml(tmp_path / "file.yaml")


def test_anchors_and_merged_keys_are_read(tmp_path: Path) -> None:
    (tmp_path / "file.yaml").write_bytes(b"\xef\xbb\xbfa: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a, *a]\n")
    assert read_yaml(tmp_path / "file.yaml") == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": [{"x": 1, "y": 2}, {"x": 1, "y": 2}],
    }


@pytest.mark.parametrize("name", ["two-scales", "my.block", "sub/two scales", "größe"])
def test_a_block_may_have_the_name_of_any_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "block" / f"{name}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("layers: []\n")
    assert block_lookup([tmp_path])(name) == {"layers": []}


@pytest.mark.parametrize(
    "name", ["../arch/net", "/arch/net", "sub/../../arch/net", "a\0b", "x" * 300, "a/" * 3000, "."]
)
def test_a_blocks_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "block" / "sub").mkdir(parents=True)
    (tmp_path / "arch").mkdir()
    (tmp_path / "arch" / "net.yaml").write_text("layers: []\n")
    with pytest.raises(SpecError, match="unknown block"):
        block_lookup([tmp_path])(name)


def test_options_are_found_by_group_and_name() -> None:
    assert {"arch", "block", "train"} <= set(groups())
    assert "hydra" not in groups()
    assert option_file("arch", "resnet20") == config_folder() / "arch" / "resnet20.yaml"
    with pytest.raises(SpecError, match=r"arch: unknown option 'resnet2'\. Did you mean 'resnet20'"):
        option_file("arch", "resnet2")


def test_a_recorded_block_has_its_present_key() -> None:
    assert read_recorded("block: {defaults_of: {kernel: 3}, layers: []}") == {
        "block": {"options": {"kernel": 3}, "layers": []}
    }
