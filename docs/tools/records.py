"""The reference of what archsearch records: attributes of trials and studies, exit codes, files and their keys."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from tables import GENERATED, code, table

from archsearch import errors

OF_TRIAL: Mapping[str, str] = {
    "assignments": "the settings of the proposal, by dotted key",
    "repairs": "what the search changed: a dilation for a limit, a fitted width, null for an option that a block lacks",
    "unused": "settings that the design does not use",
    "base": "the other overrides of the command; passwords are masked",
    "config_dirs": "the folders of `--config-dir`",
    "config_name": "the file of `--config-name`",
    "sweep": "hash of the command: its space and its other overrides",
    "screened": "designs that were proposed for this trial, and how many broke each limit",
    "key": "hash of the training: network, settings and images; equal trainings share it",
    "design_id": "hash of the network; equal networks share it",
    "design": "the design as YAML, which `arch=FILE.yaml` trains again",
    "parameters": "weights, biases, scales and shifts",
    "macs": "multiply-accumulates of one image",
    "receptive_field": "receptive field, px",
    "activations": "output elements of all layers",
    "margins": "JSON: for each limit its bound, the value found, `kept`, the relative `slack` and the fixes",
    "Margin LIMIT (BOUND)": "the slack of one limit as a number, for optuna-dashboard",
    "state_reason": "`complete`, `pruned`, `diverged`, `failed`, `infeasible` or `duplicate`; missing before the end",
    "cause": "why a trial failed, or why its design is infeasible",
    "traceback": "the traceback of a failed trial",
    "duplicate_of": "the number of the trial with the same training",
    "enqueued": "its position in `study.enqueue`, from 0",
    "rung": "its epochs, if they are fewer than those of a full training",
    "promoted_from": "the number of the trial of the same design at the rung below",
    "train_seconds": "the predicted seconds of a full training, if a setting needs them",
    "run_dir": "the folder of its files",
    "location": "`HOST:FOLDER` of its files, in the form that `scp` and `rsync` accept",
    "artifacts": "the folder of the copies that `study.artifacts` keeps, with their names; or the error of the copy",
    "worker": "the worker that owns the trial; empty while it waits",
    "released": "the last worker that put the trial back into the queue, or whose trial was put back",
    "heartbeat": "time of the last heartbeat of the worker, seconds since 1970",
    "deaths": "the number of workers that died while they trained it, and the epoch after which they died",
    "accuracy": "validation accuracy of the last epoch, from 0 to 1",
    "test_accuracy": "accuracy on the test images, of a single run only",
    "loss": "validation loss of the last epoch",
    "epochs": "epochs that were trained",
    "seconds": "time of the training",
    "images_per_second": "training images per second",
    "device": "the CPU or GPU",
    "precision": "format of the activations: `fp32`, `bf16` or `fp16`",
    "batch": "`halved after running out of memory`, if that happened",
    "data": "name of the data set",
    "seed": "`seed` of the run",
    "versions": "versions of Python, torch and the other libraries",
    "notices": "notices of the run",
}
"""The attributes of a trial with their meanings."""
OF_STUDY: Mapping[str, str] = {
    "data": "name of the data set",
    "data_fingerprint": "hash of its images, labels and splits; a study never mixes two",
    "data_settings": "the keys `data.*`",
    "limits": "name of the limits",
    "limits_hash": "hash of the limits",
    "limits_text": "the limits",
    "objectives": "names of the objectives, in the order of the values",
    "declarations": "the values that each parameter can have, over all trials",
    "token": "part of the names of its folders",
}
"""The attributes of a study with their meanings."""
_RESULT: Mapping[str, str] = {
    "design": "name of the network",
    "design_id": "hash of the network",
    "data": "name of the data set",
    "data_fingerprint": "hash of its images, labels and splits",
    "data_settings": "the keys `data.*`",
    "augment": "the augmentation",
    "accuracy": "0 to 1: `validation` (last epoch), `validation_best`, `validation_best_epoch`, `test`, `test_flip`",
    "loss": "`validation`, `test`",
    "images": "number of images: `train`, `validation`, `test`",
    "parameters": "weights, biases, scales and shifts",
    "macs": "multiply-accumulates of one image",
    "receptive_field": "px",
    "activations": "output elements of all layers",
    "margins": "one entry for each limit: `limit`, `bound`, `found`, `kept`, `slack`, `fixes`, `error` of a prediction",
    "train_seconds": "the predicted seconds of the training, if a setting needs them",
    "objectives": "values of the objectives that packages add",
    "epochs": "epochs that were trained",
    "pruned": "whether the pruner stopped the training",
    "images_per_second": "training images per second",
    "seconds": "time of the training",
    "device": "the CPU or GPU, with its threads",
    "precision": "format of the activations",
    "backend": "`eager`, `compiled` or `kernels`, with `+cuda_graphs` on a GPU",
    "compiled": "whether `torch.compile` was used",
    "kernels": "whether archsearch's kernels were used",
    "versions": "versions of Python, torch and the other libraries",
    "seed": "`seed` of the run",
    "notices": "notices of the run",
}
_METRICS: Mapping[str, str] = {
    "epoch": "1 for the first",
    "learning_rate": "of the last step; with `optimizer=muon`, that of Muon",
    "train_loss": "mean over the epoch, with label smoothing and augmentation",
    "train_accuracy": "mean over the epoch, from 0 to 1",
    "validation_loss": "null in an epoch without an evaluation",
    "validation_accuracy": "from 0 to 1; null in an epoch without an evaluation",
    "seconds": "time of the epoch, without its evaluation",
    "images_per_second": "training images per second",
}
_CARD: Mapping[str, str] = {
    "data": "name of the data set",
    "split": "`validation` for a trial of a search, `test` for a single run",
    "images": "number of images",
    "accuracy": "from 0 to 1",
    "per_class": "`class`, `images`, `accuracy`, `precision`",
    "confusion": "images by class (row) and predicted class (column)",
    "calibration": "expected calibration error, with its bins and its source",
    "mistakes": "the most confident mistakes: `image`, `is`, `taken_for`, `confidence`, `picture` (JPEG, base64)",
    "augmented": "augmented training images (JPEG, base64)",
}
_RUN: Mapping[str, str] = {
    ".hydra/": "the composed configuration and the overrides; for a trial of a search, the overrides and their files",
    "run.log": "the log",
    "design.yaml": "the design with its blocks written out; `arch=FILE` trains it again",
    "metrics.jsonl": "one JSON object for every epoch",
    "checkpoint.pt": "the state of the training; removed at the end unless `train.keep_checkpoint=true`",
    "checkpoint.damaged.pt": "a checkpoint that could not be read",
    "result.json": "the result",
    "result.damaged.json": "a result that could not be read",
    "model.safetensors": "the weights; the metadata contain the design, the classes and the normalisation",
    "curves.png": "the learning curves",
    "design.png": "a drawing of the network",
    "card.json": "the report card",
    "card.png": "its drawing; a trial of a search has none",
    "erf.png": "the effective receptive field, drawn by `show erf=RUN_DIR`",
}
_OUTPUTS: Mapping[str, str] = {
    "outputs/runs/DATE_TIME_TOKEN/": "a single run",
    "outputs/sweeps/STUDY-TOKEN/": "a search: a folder for every trial, and `best.yaml`",
    "outputs/studies.db": "the study database (SQLite, of Optuna)",
    "outputs/artifacts/": "pictures for optuna-dashboard",
    "outputs/cache/": "downloaded data sets, decoded images and measured step times; can be deleted",
    "outputs/reports/": "`study report` and `study plot`",
    "outputs/exports/": "`study export`",
    "outputs/fetched/": "files that `study export` fetched from `study.artifacts`",
    "outputs/tracking/": "files of trackers",
}


def attributes_page() -> str:
    """Return the page of the attributes of trials and studies."""
    return "\n".join(
        [
            "# Attributes of a trial",
            "",
            f"{GENERATED} Each trial of the Optuna study has these user attributes, except those",
            "that do not apply to it. `python -m archsearch.study export --json FILE` writes all of them.",
            "",
            table(("attribute", "content"), ((code(name), text) for name, text in OF_TRIAL.items())),
            "## States",
            "",
            "| `state_reason` | state in Optuna | what happened |",
            "|---|---|---|",
            "| `complete` | COMPLETE | the training ended; the values are those of the objectives |",
            "| `pruned` | PRUNED | the pruner stopped the training |",
            "| `diverged` | PRUNED | the loss was not finite |",
            "| `infeasible` | PRUNED | the design breaks a limit or cannot be built; it was not trained |",
            "| `duplicate` | COMPLETE, PRUNED or FAIL | the trial equals an earlier one, and took its result |",
            "| `failed` | FAIL | the training ended with an error |",
            "",
            "## Attributes of a study",
            "",
            table(("attribute", "content"), ((code(name), text) for name, text in OF_STUDY.items())),
        ]
    )


def exit_codes_page() -> str:
    """Return the page of the exit codes."""
    rows = [("0", "", "success")]
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.ArchsearchError):
            rows.append((str(kind.exit_code), code(name), " ".join((inspect.getdoc(kind) or "").split())))
    return "\n".join(
        [
            "# Exit codes",
            "",
            GENERATED,
            "",
            "| code | meaning |",
            "|---|---|",
            "| 0 | success |",
            "| 1 | a run failed after its start, or trainings of a search failed |",
            "| 2 | the input cannot be used: a configuration, a design, a limit, a data set, a path, a database |",
            "| 130 | interrupted by Ctrl-C or SIGTERM; a training saves a checkpoint first |",
            "",
            "A command that fails prints one message. `HYDRA_FULL_ERROR=1` adds the traceback.",
            "",
            "## Errors and their codes",
            "",
            table(
                ("code", "class in `archsearch.errors`", "raised for"), sorted(rows[1:], key=lambda row: int(row[0]))
            ),
        ]
    )


def files_page() -> str:
    """Return the page of the files that archsearch writes."""
    parts = [
        "# Files",
        "",
        f"{GENERATED} A file that exists under its name is complete, except for `run.log` and",
        "`metrics.jsonl`, which grow during the run.",
        "",
        "## Folders",
        "",
        table(("path", "content"), ((code(name), text) for name, text in _OUTPUTS.items())),
        "## Folder of a run",
        "",
        table(("file", "content"), ((code(name), text) for name, text in _RUN.items())),
    ]
    for title, keys in (
        ("result.json", _RESULT),
        ("metrics.jsonl, one object for each epoch", _METRICS),
        ("card.json", _CARD),
    ):
        parts += [f"## {title}", "", table(("key", "content"), ((code(name), text) for name, text in keys.items()))]
    parts += [
        "## Other formats",
        "",
        "| file | format |",
        "|---|---|",
        "| blocks, networks, limits | YAML: [the design language](../language.md) |",
        "| spaces and other groups | YAML: [configuration](configuration.md) |",
        "| `best.yaml` | study, number, values and overrides of the best trial; `run FILE` trains it again |",
        "| `model.safetensors` | [sharing a network](../how-to/sharing.md) |",
        "| `.onnx`, `.pt2` | [exports](../how-to/sharing.md#other-programs) |",
        "| the study database | an Optuna study: [attributes](trial-attributes.md) |",
        "",
    ]
    return "\n".join(parts)
