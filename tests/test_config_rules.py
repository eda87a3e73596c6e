"""Files of settings from somebody else: what they may hold, and what is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.config_files import config_folder, read_yaml
from archsearch.config_files.rules import check_design, check_option, check_overrides
from archsearch.errors import SpecError


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hunter2")
    monkeypatch.setenv("DB_PASSWORD", "hunter2")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("++hydra.callbacks.x._target_=os.system", "f: hydra.callbacks.x._target_: sets Hydra's own options"),
        ("hydra/launcher=joblib", "f: hydra/launcher: sets Hydra's own options"),
        ("~hydra.job_logging", "sets Hydra's own options"),
        ("arch@hydra.callbacks.x=net", "sets Hydra's own options"),
        ("arch@arch:hydra=net", "sets Hydra's own options"),
        ("++arch.x._target_=os.system", "f: arch.x._target_: '_target_' names code"),
        ("++arch.x={_target_: os.system}", "f: arch.x: '_target_' names code"),
        ("--config-dir=/tmp/x", "f: '--config-dir=/tmp/x' is not an override KEY=VALUE: flags and files"),
        ("-m", "is not an override"),
        ("-cp", "is not an override"),
        ("--experimental-rerun=x.pickle", "is not an override"),
        ("other.yaml", "is not an override"),
        (" hydra.run.dir=x", "is not an override"),
        ("'hydra'.run.dir=x", "is not an override"),
        ("arch.name=${oc.env:A_SECRET}", "f: arch.name: the interpolation ${oc.env:A_SECRET} is not allowed"),
        ("arch.name=x${oc.env:A_SECRET,y}", "not allowed in a file"),
        (r"arch.name=$\{oc.env\:A_SECRET\}", "not allowed in a file"),
        ("study.name='a ${oc.env:A_SECRET}'", "not allowed in a file"),
        ("study.storage=sqlite:///${oc.env:A_SECRET}.db", "f: study.storage: the interpolation ${oc.env:A_SECRET}"),
        ("study.storage=postgresql://u:${oc.env:A_SECRET}@h/d", "not allowed in a file"),
        ("study.storage=postgresql://${oc.env:DB_PASSWORD}/d", "not allowed in a file"),
        ("tracking.project=${study.storage}", "not allowed in a file"),
        ("tracking.project=${study}", "not allowed in a file"),
        ("study.name=${.storage}", "not allowed in a file"),
        ("data.root=${hydra:job.env_set}", "not allowed in a file"),
        ("data.root=${oc.decode:${oc.env:A_SECRET}}", "not allowed in a file"),
        ("data.root=${oc.select:study.storage}", "not allowed in a file"),
        ("data.root=${oc.create:{}}", "not allowed in a file"),
    ],
)
def test_an_override_from_a_file_that_is_refused(override: str, message: str) -> None:
    check_overrides(["seed=1"], "f")
    with pytest.raises(SpecError) as caught:
        check_overrides(["seed=1", override], "f")
    assert str(caught.value).startswith("f: ")
    assert message in str(caught.value)
    assert caught.value.fix


def test_overrides_that_commands_write_are_accepted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMAGES", str(tmp_path))
    monkeypatch.delenv("NOT_SET", raising=False)
    given = [
        "block=dilated", "++arch.stages.c2.width=0.5", "block@arch.stages.c2.block=strided", "~arch.stem",
        "+arch.x=[1,2]",
        "constraints.macs={below: 10000000}", "data.root=${hydra:runtime.cwd}/images", "data.cache=${oc.env:IMAGES}/x",
        "arch.name='a = b'", "train.epochs=${train.batch_size}", "seed=${oc.env:NOT_SET,3}", "study.name=x-${now:%Y}",
        "study.storage=postgresql://me:${oc.env:DB_PASSWORD}@h/d", "tracking.address=http://me:${oc.env:DB_PASSWORD}@h",
        "study.storage='postgresql://h/d?user=me&password=${oc.env:DB_PASSWORD}'", "data/shapes=x",
    ]  # fmt: skip
    check_overrides(given, "f")


@pytest.mark.parametrize(
    ("design", "key"),
    [
        ({"name": "x ${oc.env:A_SECRET}"}, "name"),
        ({"name": "x ${oc.env:HOME}"}, "name"),
        ({"name": "${hydra:runtime.cwd}"}, "name"),
        ({"name": "${oc.decode:'${oc.env:A_SECRET}'}"}, "name"),
        ({"name": "${oc.create:{a: 1}}"}, "name"),
        ({"name": "${now:%Y}"}, "name"),
        ({"name": "${study.storage}"}, "name"),
        ({"name": "${data.root}"}, "name"),
        ({"name": "${...study.storage}"}, "name"),
        ({"name": "${..study.storage}"}, "name"),
        ({"name": "${arch.${oc.env:A_SECRET}}"}, "name"),
        ({"name": "${study[storage]}"}, "name"),
        ({"name": r"\${oc.env:A_SECRET}"}, "name"),
        ({"stages": {"c1": {"options": ["a", "${oc.env:A_SECRET}"]}}}, "stages.c1.options.1"),
        ({"stages": {"${oc.env:A_SECRET}": {}}}, "stages.${oc.env:A_SECRET}"),
        ({"stages": {"c1": {"_target_": "os.system"}}}, "stages.c1._target_"),
        ({"hydra": {"run": 1}}, "hydra.run"),
    ],
)
def test_a_design_reads_nothing_but_its_own_keys(design: dict[str, object], key: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_design(design, "f")
    assert caught.value.where == f"f: {key}"
    assert caught.value.fix


def test_a_design_may_read_the_images_the_block_and_itself() -> None:
    check_design(
        {
            "input": ["${data.channels}", "${data.image_size}", "${ data.image_size }"],
            "name": "a${.width}",
            "stages": {"c1": {"block": "${block}", "width": "${arch.width}", "repeats": "${..c1.width}"}},
            "head": {"classes": "${data.classes}"},
            "width": 3,
        },
        "f",
    )


def test_a_secret_behind_an_anchor_is_found(tmp_path: Path) -> None:
    file = tmp_path / "design.yaml"
    file.write_text('a: &a {name: "\\u0024{oc.env:A_SECRET}"}\nhead: {<<: *a}\n')
    with pytest.raises(SpecError, match=r"a.name: the interpolation"):
        check_design(read_yaml(file), "f")
    with pytest.raises(SpecError, match=r"head.name: the interpolation"):
        check_design({"head": read_yaml(file)["head"]}, "f")


@pytest.mark.parametrize(
    ("package", "config", "place"),
    [
        ("", {"hydra": {"callbacks": {}}}, "f: hydra.callbacks"),
        ("", {"hydra.callbacks": 1}, "f: hydra.callbacks"),
        ("hydra.callbacks", {"x": 1}, "f: @package hydra.callbacks"),
        ("_global_.hydra", {"x": 1}, "f: @package _global_.hydra"),
        ("train", {"a": {"b": [{"_target_": "x"}]}}, "f: a.b.0._target_"),
        ("", {"defaults": [{"override /hydra/launcher": "joblib"}]}, "f: defaults: override /hydra/launcher"),
        ("", {"defaults": ["/hydra/callbacks/x"]}, "f: defaults: /hydra/callbacks/x"),
        ("", {"defaults": [{"/block@hydra.callbacks.x": "y"}]}, "f: defaults: /block@hydra.callbacks.x"),
        ("", {"defaults": [{"/block@_global_.hydra": "y"}]}, "f: defaults: /block@_global_.hydra"),
        ("", {"defaults": [{"/block@study": "y"}]}, "f: defaults: /block@study"),
        ("", {"defaults": [{"/block": "../hydra/x"}]}, "f: defaults: /block"),
        ("", {"defaults": [{"/block": ["normal", "../../x"]}]}, "f: defaults: /block"),
        ("", {"arch": {"name": "${oc.env:A_SECRET}"}}, "f: arch.name"),
        ("", {"arch": {"name": "${..study.storage}"}}, "f: arch.name"),
        ("block", {"act": "${oc.env:HOME}"}, "f: act"),
        ("space", {"++hydra.run.dir": "choice(a, b)"}, "f: ++hydra.run.dir"),
        ("space", {"arch.name": "choice(${oc.env:A_SECRET}, b)"}, "f: arch.name"),
        ("data", {"root": "${oc.env:A_SECRET}"}, "f: root"),
        ("study", {"name": "${.storage}"}, "f: name"),
        ("study", {"name": "${study.storage}"}, "f: name"),
    ],
)
def test_an_option_of_a_group_that_is_refused(package: str, config: dict[str, object], place: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_option(config, "f", package=package)
    assert caught.value.where == place
    assert caught.value.fix


def test_an_option_may_choose_others_and_read_folders_and_passwords(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("IMAGES", str(tmp_path))
    check_option({"defaults": ["sgd", "_self_", {"/block@arch.stem.block": "normal"}]}, "f", package="optimizer")
    check_option({"defaults": [{"override /arch": "quick"}], "train": {"epochs": 3}}, "f", package="_global_")
    check_option({"root": "${oc.env:IMAGES}/x", "cache": "${.root}"}, "f", package="data")
    check_option({"storage": "postgresql://me:${oc.env:DB_PASSWORD}@h/d"}, "f", package="study")
    check_option({"study": {"storage": "postgresql://me:${oc.env:DB_PASSWORD}@h/d"}}, "f", package="_global_")


def test_the_shipped_options_are_accepted() -> None:
    files = [file for file in sorted(config_folder().glob("*/*.yaml")) if file.parent.name != "hydra"]
    assert len(files) > 70
    for file in files:
        check_option(read_yaml(file), str(file), package=file.parent.name)
