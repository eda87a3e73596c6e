"""What must hold after a disturbed command was let run to its end; reads the files and the database by itself.

Nothing lost, nothing double, every file whole, every folder complete, weights equal to those of an undisturbed run.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

EPOCHS = 2
TRIAL_FILES = ("design.yaml", "design.png", "curves.png", "card.json", "metrics.jsonl", "model.safetensors",
               "result.json", ".hydra/overrides.yaml")  # fmt: skip
RUN_FILES = (*TRIAL_FILES, "card.png")
TRACES = ("Traceback (most recent call last)", "terminate called", "Exception ignored", "Fatal Python error")


def trials_of(storage: str, study: str) -> list[Any]:
    """Return the trials of a study as Optuna itself reads them; none where there is no such study."""
    import optuna
    from optuna.storages import RDBStorage

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if storage.startswith("sqlite:///") and not Path(storage.removeprefix("sqlite:///")).exists():
        return []
    backend = RDBStorage(storage.replace("postgresql:", "postgresql+psycopg:", 1))
    try:
        if study not in [each.study_name for each in backend.get_all_studies()]:
            return []
        return optuna.load_study(storage=backend, study_name=study).trials
    finally:
        backend.remove_session()
        backend.engine.dispose()


def study_faults(
    trials: Sequence[Any], folder: Path, asked: int, reference: Mapping[str, str], *, single: bool = False
) -> list[str]:
    """Return what is wrong with a finished study of `asked` trainings, whose files lie below `folder`."""
    found: list[str] = []
    reasons = [trial.user_attrs.get("state_reason", trial.state.name) for trial in trials]
    trained = [trial for trial, reason in zip(trials, reasons, strict=True) if reason == "complete"]
    if len(trained) != asked:
        found.append(f"{len(trained)} trials are complete, {asked} were asked for: {dict(Counter(reasons))}")
    for trial, reason in zip(trials, reasons, strict=True):
        if reason not in ("complete", "infeasible", "duplicate"):
            found.append(f"trial {trial.number} is {trial.state.name}: {trial.user_attrs.get('cause', reason)}")
    keys = Counter(trial.user_attrs.get("key") for trial in trained)
    found += [f"the training {key} is recorded {count} times" for key, count in keys.items() if count > 1]
    folders = Counter(str(trial.user_attrs.get("run_dir")) for trial in trained)
    found += [f"{count} trials are of the folder {name}" for name, count in folders.items() if count > 1]
    on_disk = {str(file.parent.relative_to(folder)) for file in folder.rglob("result.json")}
    recorded = {str(Path(name).relative_to(folder)) if Path(name).is_absolute() else name for name in folders}
    found += [f"{name} holds a result without a trial" for name in sorted(on_disk - recorded)]
    for trial in trained:
        steps = sorted(trial.intermediate_values)
        if steps != list(range(1, EPOCHS + 1)):
            found.append(f"trial {trial.number} has the epochs {steps}")
        run_dir = folder / str(trial.user_attrs.get("run_dir"))
        found += folder_faults(run_dir, RUN_FILES if single else TRIAL_FILES)
        found += weights_faults(run_dir, reference, str(trial.user_attrs.get("design_id")))
    found += [f"{file.relative_to(folder)} is left" for file in leftovers(folder)]
    return found


def folder_faults(run_dir: Path, files: Iterable[str]) -> list[str]:
    """Return which of a finished run's files are missing or broken."""
    found: list[str] = []
    for name in files:
        file = run_dir / name
        place = f"{run_dir.name}/{name}"
        if not file.is_file():
            found.append(f"{place} is missing")
        elif reason := broken(file):
            found.append(f"{place} is not whole: {reason}")
    return found


def broken(file: Path) -> str:
    """Return why a file cannot be what its name says; empty where it can."""
    try:
        match file.suffix:
            case ".json":
                if not isinstance(json.loads(file.read_text()), dict):
                    return "no JSON object"
            case ".jsonl":
                epochs = [json.loads(line)["epoch"] for line in file.read_text().splitlines()]
                if epochs != list(range(1, EPOCHS + 1)):
                    return f"has the epochs {epochs}"
            case ".png":
                from PIL import Image

                with Image.open(file) as image:
                    image.load()
            case ".yaml":
                import yaml

                if not yaml.safe_load(file.read_text()):
                    return "empty"
            case ".safetensors":
                from archsearch.runs.load import read_trained  # compares the checksum that the file itself carries

                read_trained(file)
            case _:
                return "of no known kind"
    except Exception as error:  # noqa: BLE001  (whatever a reader has against it)
        return f"{type(error).__name__}: {error}"
    return ""


def weights_faults(run_dir: Path, reference: Mapping[str, str], design: str) -> list[str]:
    """Return whether the weights in `run_dir` differ from an undisturbed training of the same design."""
    file = run_dir / "model.safetensors"
    if not file.is_file():
        return []  # reported as missing
    if design not in reference:
        return [f"{run_dir.name}: no undisturbed run of the design {design} is known"]
    return [] if digest_of(file) == reference[design] else [f"{file.parent.name}: the weights differ"]


def digest_of(file: Path) -> str:
    """Return a hash of the names, shapes and bytes of all tensors in a file of weights, read without torch."""
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = {name: each for name, each in json.loads(content[8 : 8 + length]).items() if name != "__metadata__"}
    found = hashlib.sha256()
    for name in sorted(header):
        start, end = header[name]["data_offsets"]
        found.update(f"{name} {header[name]['dtype']} {header[name]['shape']}".encode())
        found.update(content[8 + length + start : 8 + length + end])
    return found.hexdigest()


def digests_below(folder: Path) -> dict[str, str]:
    """Return the hash of the weights of every finished run below `folder`, by its design's id."""
    found: dict[str, str] = {}
    for file in folder.rglob("result.json"):
        found[json.loads(file.read_text())["design_id"]] = digest_of(file.parent / "model.safetensors")
    return found


def leftovers(folder: Path) -> list[Path]:
    """Return what finished runs must not leave: checkpoints, and files and folders that were being written."""
    patterns = ("checkpoint.pt*", "*.part", ".*.part", "*.tmp", ".*.tmp")
    return sorted({file for pattern in patterns for file in folder.rglob(pattern)})


def output_faults(text: str) -> list[str]:
    """Return the traces of an unexpected end in what a command has printed."""
    found: list[str] = []
    for trace in TRACES:
        if trace in text:
            lines = text[text.index(trace) :].splitlines()
            found.append(f"printed '{trace}' ... {lines[-1][:200] if lines else ''}")
    return found
