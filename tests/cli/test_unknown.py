"""Keys and options that do not exist."""

from __future__ import annotations

import pytest

from archsearch.cli.compose import compose_tree
from archsearch.cli.main import main as archsearch
from archsearch.cli.unknown import top_keys, unknown_key, unknown_option
from archsearch.config_files import groups
from archsearch.decode import SYNONYMS, suggest
from archsearch.errors import SpecError
from archsearch.settings.experiment import decode_experiment


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("sed", "sed: unknown key. Did you mean 'seed'?"),
        ("blok", "blok: unknown key. Did you mean 'block'?"),
        ("lr", "lr: unknown key. Did you mean 'optimizer.learning_rate'?"),
        ("epochs", "epochs: unknown key. Did you mean 'train.epochs'?"),
        ("batch", "batch: unknown key. Did you mean 'train.batch_size'?"),
        ("n_trials", "n_trials: unknown key. Did you mean 'study.trials'?"),
        ("hydra.sweeper.n_trials", "archsearch's own sweeper has no such key. Write study.trials=20."),
        ("hydra.sweeper.n_jobs", "Write study.workers=2."),
        ("hydra.sweeper.other", "A search is set up by study.*, sampler=, pruner= and space=."),
        ("plot", "plot: unknown key. It is one of archsearch.show: python -m archsearch.show plot=..."),
        ("hydra.run.dri", "hydra.run.dri: unknown key. Did you mean 'hydra.run.dir'?"),
    ],
)
def test_a_key(key: str, message: str) -> None:
    assert message in str(unknown_key(key))
    with pytest.raises(SpecError) as caught:
        compose_tree([f"{key}=3"])
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("block=nromal", "block: unknown option 'nromal'. Did you mean 'normal'?"),
        ("block=adamw", "block: unknown option 'adamw'. Did you mean 'optimizer=adamw'?"),
        ("hydra/launcher=rayy", "hydra/launcher: unknown option 'rayy'. Did you mean 'ray'?"),
        ("hydra/launcher=nosuch", "Install it: pip install hydra-nosuch-launcher"),
        ("hydra/sweeper=optuna", "the sweeper 'optuna' is not installed. Leave it out: -m searches with archsearch's"),
    ],
)
def test_an_option(override: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        compose_tree([override])
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["joblib", "submitit_slurm", "submitit_local", "ray"])
def test_a_launcher_that_is_not_installed_names_its_extra(name: str) -> None:
    extra = "ray" if name == "ray" else "launchers"
    found = str(unknown_option("hydra/launcher", name, ["basic"]))
    assert found == (
        f"hydra/launcher: the launcher '{name}' is not installed. Install it: pip install 'archsearch[{extra}]'"
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=1", "optimizer.lr: unknown key for optimizer. Did you mean 'learning_rate'?"),
        ("optimizer.wd=1", "Did you mean 'weight_decay'?"),
        ("train.bs=1", "Did you mean 'batch_size'?"),
        ("train.num_epochs=1", "Did you mean 'epochs'?"),
        ("study.n_jobs=1", "Did you mean 'workers'?"),
        ("data.val_split=0.1", "Did you mean 'validation'?"),
        ("constraints.flops={below: 3}", "Did you mean 'macs'?"),
        ("arch.stages.c1.kernel_size=3", "Did you mean 'kernel'?"),
        ("arch.stages.c9.width=3", "arch.stages.c9: there is no stage c9 in the design (stages: c1, c2, c3, c4). A"),
        ("arch.stages.cc2.width=3", "there is no stage cc2 in the design (stages: c1, c2, c3, c4). Did you mean 'c2'?"),
    ],
)  # fmt: skip
def test_what_others_call_a_key_is_known(override: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        decode_experiment(*compose_tree([override]))
    assert message in str(caught.value)


def test_a_synonym_is_suggested_only_where_its_key_exists() -> None:
    assert suggest("lr", ["learning_rate", "name"]) == "Did you mean 'learning_rate'?"
    assert suggest("lr", ["name"]) == "Known: name."
    assert not {name for name in SYNONYMS if name in SYNONYMS.values()}


def test_groups_and_keys_are_the_shipped_ones() -> None:
    assert set(top_keys()) - set(groups()) == {"resume", "seed"}


@pytest.mark.parametrize(
    ("command", "suggestion"),
    [
        ("shwo", "Did you mean 'show'?"),
        ("inti", "Did you mean 'init'?"),
        ("init --versoin", "Did you mean '--version'?"),
        ("show blok=normal", "Did you mean 'block'?"),
        ("show block=dilatd", "Did you mean 'dilated'?"),
        ("show arch.stages.c22.width=8", "Did you mean 'c2'?"),
        ("show arch.stages.c2.witdh=8", "Did you mean 'width'?"),
        ("show arch.stages.c2.kernle=5", "Did you mean 'kernel'?"),
        ("show arch.stages.c2.block=dilatd", "Did you mean 'dilated'?"),
        ("show constraints.paramters={below:3}", "Did you mean 'parameters'?"),
        ("show modul=model.py:Net", "Did you mean 'module'?"),
        ("show --jsn", "Did you mean '--json'?"),
        ("run expriment=brisk", "Did you mean 'experiment'?"),
        ("run train.epoch=3", "Did you mean 'epochs'?"),
        ("run --confg-dir=my_conf", "Did you mean '--config-dir'?"),
        ("run -m +spce=cifar", "Did you mean 'space'?"),
        ("run -m space=cifr", "Did you mean 'cifar'?"),
        ("run -m space=cifar study.trails=3", "Did you mean 'trials'?"),
        ("study shwo", "Did you mean 'show'?"),
        ("study ls --storge=x", "Did you mean '--storage'?"),
        ("study show --state complet", "Did you mean 'complete'?"),
        ("study plot --format pgn", "Did you mean 'png'?"),
    ],
)
def test_a_near_miss_is_answered_with_what_was_probably_meant(
    command: str, suggestion: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert archsearch(command.split()) == 2
    assert suggestion in capsys.readouterr().err
