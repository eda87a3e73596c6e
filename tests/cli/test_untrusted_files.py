"""Files that a colleague sends: none of them runs code or reads a secret, whatever command reads them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from archsearch.errors import SpecError
from archsearch.library import load_design
from archsearch.run import main
from archsearch.show import main as show

SMALL = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch=quick", "arch.width=0.25",
    "constraints=none", "train.epochs=1", "train.batch_size=16", "train.compile=false", "train.device=cpu",
    "train.kernels=torch",
]  # fmt: skip
CODE = ["++hydra.callbacks.x._target_=torch.utils.collect_env.run", "++hydra.callbacks.x.command='touch PWNED'"]
DESIGN = {"stages": {"c1": {"block": "normal", "width": 8}}, "head": {"classes": 10}}


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "hunter2")


def refused(capsys: pytest.CaptureFixture[str], arguments: list[str], command=main) -> str:
    """Return the message of a command that ends with exit code 2, and leaves neither a result nor the secret."""
    assert command(arguments) == 2
    message = capsys.readouterr().err
    assert not Path("PWNED").exists()
    assert "Traceback" not in message
    assert "hunter2" not in message
    written = [one for one in Path().rglob("*") if one.is_file()]
    assert not [one for one in written if b"hunter2" in one.read_bytes()]
    assert not [one for one in written if one.name == "result.json"]
    return message


def test_a_list_of_overrides_sets_nothing_of_hydra(capsys: pytest.CaptureFixture[str]) -> None:
    Path("best.yaml").write_text(yaml.safe_dump({"overrides": ["data=shapes", *CODE]}))
    for command, flags in ((main, []), (main, ["-m"]), (show, [])):
        message = refused(capsys, ["best.yaml", "constraints.parameters.below=1", *flags], command)
        assert "best.yaml: hydra.callbacks.x._target_: sets Hydra's own options, which can run any program" in message


@pytest.mark.parametrize("flag", ["--config-dir=mine", "-m", "--experimental-rerun=x.pickle", "other.yaml"])
def test_a_list_of_overrides_holds_no_flags(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("best.yaml").write_text(yaml.safe_dump({"overrides": ["data=shapes", flag]}))
    assert f"best.yaml: '{flag}' is not an override KEY=VALUE" in refused(capsys, ["best.yaml"])


def test_a_list_of_overrides_resumes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("best.yaml").write_text(yaml.safe_dump({"overrides": ["resume=elsewhere"]}))
    assert "best.yaml: resume: must be given on the command line" in refused(capsys, ["best.yaml"])


@pytest.mark.parametrize(
    ("override", "message"),
    [(CODE[0], "sets Hydra's own options"), ("arch.name=${oc.env:A_SECRET}", "the interpolation"), ("-m", "flags")],
)
def test_the_overrides_of_a_resumed_folder_are_checked(
    override: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run/.hydra").mkdir(parents=True)
    Path("run/.hydra/overrides.yaml").write_text(yaml.safe_dump([*SMALL, override]))
    assert message in refused(capsys, ["resume=run"])


def test_a_resumed_folder_names_no_flag_as_its_folder_of_groups(capsys: pytest.CaptureFixture[str]) -> None:
    Path("run/.hydra").mkdir(parents=True)
    Path("run/.hydra/overrides.yaml").write_text(yaml.safe_dump(SMALL))
    for path in ("--experimental-rerun=x.pickle", ["a"]):
        sources = [{"provider": "command-line", "path": path}]
        Path("run/.hydra/hydra.yaml").write_text(yaml.safe_dump({"hydra": {"runtime": {"config_sources": sources}}}))
        assert main(["resume=run", "--cfg", "job"]) in (0, 2)
        assert "pickle, which" not in capsys.readouterr().err


def test_no_pickle_is_read_for_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--experimental-rerun", "--exp"):
        assert "reads a pickle, which can run code" in refused(capsys, [flag, "x.pickle"])


@pytest.mark.parametrize(
    ("group", "text", "place"),
    [
        (
            "experiment",
            "# @package _global_\nhydra: {callbacks: {x: {_target_: os.system}}}",
            "hydra.callbacks.x._target_",
        ),
        ("experiment", "# @package hydra.callbacks\nx: {command: a}", "@package hydra.callbacks"),
        ("experiment", "# @package _global_\ndefaults: [override /hydra/launcher: joblib]", "override /hydra/launcher"),
        ("experiment", "# @package _global_\ndefaults: [/evil@hydra.callbacks.x: it]", "/evil@hydra.callbacks.x"),
        ("experiment", "# @package _global_\ndefaults: [/evil: it]", "evil/it.yaml: x._target_"),
        ("experiment", "# @package _global_\ndefaults: [/block: ../hydra/help/mine]", "defaults: /block"),
        ("experiment", "# @package _global_\narch: {name: '${oc.env:A_SECRET}'}", "arch.name"),
        ("train", "defaults: [default]\nepochs: {_target_: os.system}", "epochs._target_"),
        ("data", "defaults: [shapes]\nroot: ${oc.env:A_SECRET}", "root"),
        ("space", "++hydra.sweep.dir: choice(a, b)", "++hydra.sweep.dir"),
        ("space", "arch.name: choice(${oc.env:A_SECRET}, b)", "arch.name"),
        ("block", "layers: [act]\nname: ${oc.env:A_SECRET}", "name"),
        ("arch", "defaults: [quick]\nname: ${oc.env:A_SECRET}", "name"),
    ],
)
@pytest.mark.parametrize("given", ["--config-dir=mine", "hydra.searchpath=[mine]"])
def test_an_option_of_a_folder_of_groups_is_checked(
    group: str, text: str, place: str, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, content in ((group, text), ("evil", "x: {_target_: os.system}")):
        Path("mine", folder).mkdir(parents=True)
        Path("mine", folder, "it.yaml").write_text(content)
    message = refused(capsys, [*SMALL, f"{group}=it", given])
    assert "it.yaml: " in message
    assert place in message
    if given.startswith("--"):
        assert place in refused(capsys, [f"{group}=it", given], show)


def test_hydras_own_groups_come_from_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine/hydra/callbacks").mkdir(parents=True)
    Path("mine/hydra/callbacks/it.yaml").write_text("x: {_target_: torch.utils.collect_env.run, command: touch PWNED}")
    message = refused(capsys, [*SMALL, "+hydra/callbacks=it", "--config-dir=mine"])
    assert "mine/hydra/callbacks/it.yaml: is an option of Hydra's own" in message


def test_a_primary_configuration_of_somebody_else_sets_nothing_of_hydra(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    Path("mine/theirs.yaml").write_text("defaults: [config, _self_]\nhydra: {job: {name: x}}\n")
    message = refused(capsys, ["--config-dir=mine", "--config-name=theirs", *SMALL])
    assert "theirs.yaml: hydra.job.name: sets Hydra's own options" in message


@pytest.mark.parametrize("name", ["x ${oc.env:A_SECRET}", "${oc.decode:${oc.env:A_SECRET}}", "${study.storage}"])
def test_a_design_of_a_file_reads_no_secret(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("design.yaml").write_text(yaml.safe_dump({**DESIGN, "name": name}))
    Path("theirs").mkdir()
    Path("theirs/design.yaml").write_text(Path("design.yaml").read_text())
    for arch in ("arch=design.yaml", "arch=theirs/"):
        message = refused(capsys, [*SMALL[:3], "constraints=none", arch])
        assert "design.yaml: name: the interpolation" in message
        refused(capsys, [arch], show)
    with pytest.raises(SpecError, match=r"design.yaml: name: the interpolation"):
        load_design("design.yaml")
    with pytest.raises(SpecError, match=r"design: name: the interpolation"):
        load_design({**DESIGN, "name": name})


def test_a_block_that_is_found_by_its_name_is_checked() -> None:
    Path("mine/block").mkdir(parents=True)
    Path("mine/block/own.yaml").write_text("name: ${oc.env:A_SECRET}\nlayers: [act]\n")
    with pytest.raises(SpecError, match=r"own.yaml: name: the interpolation"):
        load_design({**DESIGN, "stages": {"c1": {"block": "own", "width": 8}}}, folders=(Path("mine"),))


def test_assignments_of_a_study_are_checked_before_hydra_reads_them() -> None:
    from archsearch.cli.compose import Composer

    for assignments in ({"seed": "${oc.env:A_SECRET}"}, {"hydra.job.name": "x"}, {"block@hydra.x": "normal"}):
        with pytest.raises(SpecError, match=r"^study: "):
            Composer().compose(assignments)


def test_own_folders_of_groups_still_work(capsys: pytest.CaptureFixture[str]) -> None:
    for name, text in {
        "block/own.yaml": "defaults: [normal, _self_]\n",
        "experiment/mine.yaml": "# @package _global_\ndefaults: [override /arch: quick, override /block: own]\n",
        "data/mine.yaml": "defaults: [shapes]\nroot: ${oc.env:PWD}\n",
    }.items():
        Path("mine", name).parent.mkdir(parents=True)
        Path("mine", name).write_text(text)
    assert show(["--config-dir=mine", "experiment=mine", "data=mine", "constraints=none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "quick"


def test_of_the_shipped_folder_its_own_settings_of_hydra_alone_are_exempt(monkeypatch: pytest.MonkeyPatch) -> None:
    from archsearch.cli import sources

    texts = {"config.yaml": "hydra: {a: 1}", "hydra/help/it.yaml": "a: 1", "experiment/it.yaml": "a: {_target_: b}"}
    for name, text in texts.items():
        Path("conf", name).parent.mkdir(parents=True, exist_ok=True)
        Path("conf", name).write_text(text)
    monkeypatch.setattr(sources, "config_folder", lambda: Path("conf").resolve())
    source = sources.FileConfigSource("main", str(Path("conf").resolve()))
    assert OmegaConf.to_container(source.load_config("config").config) == {"hydra": {"a": 1}}
    assert OmegaConf.to_container(source.load_config("hydra/help/it").config) == {"a": 1}
    for name in ("experiment/it", "hydra/../experiment/it", "../conf/config"):
        with pytest.raises(SpecError, match=r"code to call|is an option of Hydra.s own"):
            source.load_config(name)
    other = sources.FileConfigSource("command-line", str(Path("conf/experiment").resolve().parent.parent))
    with pytest.raises(SpecError, match=r"conf/config.yaml: hydra.a: sets Hydra's own options"):
        other.load_config("conf/config")


def test_files_are_checked_in_a_launchers_job_which_restores_hydra() -> None:
    program = (
        "from hydra._internal.sources_registry import SourcesRegistry\n"
        "from hydra.core.singleton import Singleton\n"
        "from archsearch.cli.sources import check_files\n"
        "check_files()\n"
        "Singleton.set_state(Singleton.get_state())\n"  # the launchers of joblib, submitit and Ray do so
        "print(SourcesRegistry.instance().resolve('file').__module__)\n"
    )
    found = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True)
    assert found.stdout.strip() == "archsearch.cli.sources"
