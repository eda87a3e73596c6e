"""`python -m archsearch.run`: checks, builds, trains and evaluates one design, or with `-m` many.

The front door: composes, decodes, hands over, and turns errors into messages and exit codes
(0 done, 1 failed, 2 cannot be used, 130 interrupted). No torch before the limits are kept.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.config_folder import config_folder
from archsearch.errors import SpecError
from archsearch.help_text import help_asked, help_text
from archsearch.masking import hide_passwords, mask
from archsearch.messages import tell
from archsearch.process import run_as_process

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from archsearch.runs.trial import Origin

_PRINTING = frozenset({"--cfg", "-c", "--info", "-i"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what `arguments` ask for; return the exit code."""
    in_full = bool(os.environ.get("HYDRA_FULL_ERROR"))
    codes: list[int] = []
    try:
        given, secrets = hide_passwords(sys.argv[1:] if arguments is None else arguments)
        if (folders := help_asked(given)) is not None:
            sys.stdout.write(help_text(folders))
            return 0
        with _environment({**secrets, "HYDRA_FULL_ERROR": "1"}):  # Hydra then hands its errors on
            _start(_resumed(_in_order(given)), _guard(_job, codes, in_full=in_full))
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else int(request.code is not None)
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  (told, with its own exit code)
        return tell(error, in_full=in_full)
    return max(codes, default=0)


def _start(given: list[str], job: Callable[[DictConfig], None]) -> None:
    """Hand `given` to Hydra, which reads the command line itself and calls `job`."""
    import hydra

    _register_resolvers()
    started = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(job)
    before, sys.argv = sys.argv, [sys.argv[0], *given]
    printed = io.StringIO()
    try:
        if not any(one.partition("=")[0] in _PRINTING for one in given):
            started()
            return
        with contextlib.redirect_stdout(printed):  # what is shown of a configuration may hold a password
            started()
    finally:
        sys.argv = before
        sys.stdout.write(mask(printed.getvalue()))


def _guard(job: Callable[[DictConfig], None], codes: list[int], *, in_full: bool) -> Callable[[DictConfig], None]:
    """Return `job` with its errors told in one message and its exit code kept in `codes`."""

    def guarded(config: DictConfig) -> None:
        codes.append(0)
        try:
            job(config)
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  (told, with its own exit code)
            codes[-1] = tell(error, in_full=in_full)
        if codes[-1] == 130:
            sys.exit(130)

    return guarded


def _job(config: DictConfig) -> None:
    """Carry out one composed configuration in Hydra's output folder."""
    from hydra.core.hydra_config import HydraConfig

    from archsearch.analysis.check import check_design, require
    from archsearch.composition import read_tree
    from archsearch.settings.experiment import decode_experiment

    runtime = HydraConfig.get().runtime
    run_dir = Path(runtime.output_dir)
    mask_folder(run_dir / ".hydra")
    folders = [Path(source.path) for source in runtime.config_sources if source.schema == "file"]
    tree, blocks = read_tree(config, [one for one in folders if one != config_folder()])
    experiment = decode_experiment(tree, blocks)
    checked = check_design(experiment.design, experiment.limits, blocks)
    require(checked)
    from archsearch.runs.single import finished, run_single

    if experiment.resume is not None:
        if Path(experiment.resume).expanduser().resolve() != run_dir.resolve():
            raise SpecError("resume", "must be given on the command line", "Write resume=RUN_DIR behind the command.")
        if (done := finished(run_dir)) is not None:
            print(f"{experiment.resume} has finished, nothing is left to do: {done}")
            return
    run_single(experiment, checked, run_dir, _origin(HydraConfig.get(), tree))


def _origin(hydra_config: Any, tree: Mapping[str, Any]) -> Origin:
    """Return the groups that were chosen and the keys that were set, as the study database keeps them."""
    from archsearch.runs.trial import Origin

    choices = hydra_config.runtime.choices
    assignments: dict[str, Any] = {"arch": choices.get("arch"), "block": choices.get("block")}
    for override in hydra_config.overrides.task:
        key = override.lstrip("+~").partition("=")[0]
        if key.partition(".")[0] not in ("study", "data", "resume", "experiment", "tracking"):
            assignments[key] = choices[key] if key in choices else _item(tree, key)
    scalars = {key: value for key, value in assignments.items() if isinstance(value, bool | int | float | str)}
    return Origin(limits=str(choices.get("constraints", "none")), assignments=scalars, tree=tree)


def _item(tree: Mapping[str, Any], key: str) -> Any:
    """Return what stands at the dotted `key` of `tree`, None where nothing does."""
    found: Any = tree
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def mask_folder(folder: Path) -> None:
    """Replace the passwords in what Hydra has written about this run."""
    for file in folder.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        if mask(text) != text:
            file.write_text(mask(text), encoding="utf-8")


def _in_order(given: list[str]) -> list[str]:
    """Return `given` with the overrides first and the flags behind them: Hydra's parser takes no other order."""
    from hydra._internal.utils import get_args_parser

    from archsearch.composition import normalise

    overrides = get_args_parser().parse_intermixed_args(given).overrides
    flags = list(given)
    for override in overrides:
        flags.remove(override)
    return [*normalise(overrides), *flags]


def _resumed(given: list[str]) -> list[str]:
    """Return `given` with what composes a stopped run again, in its own folder, where it says `resume=RUN_DIR`."""
    asked = [one.partition("=")[2].strip("'\"") for one in given if _key(one) == "resume"]
    if not asked or asked[-1] in ("", "null"):
        return given
    if {"-m", "--multirun"} & set(given):
        fix = "Leave out -m; a search goes on when its own command is given again."
        raise SpecError("resume", "goes on with one run, not with many", fix)
    run_dir = Path(asked[-1]).expanduser().resolve()
    earlier = _earlier(run_dir / ".hydra" / "overrides.yaml", asked[-1])
    kept = {_key(one) for one in given}
    earlier = [one for one in earlier if _key(one) not in kept]
    for one in earlier:
        if ":***@" in one:
            fix = f"Give it again: {_key(one)}=...; with ${{oc.env:VARIABLE}} in its place it can be stored."
            raise SpecError("resume", f"the password of {_key(one)} was not stored", fix)
    path = str(run_dir).replace("'", "\\'")
    return [*earlier, *given, f"hydra.run.dir='{path}'", *_config_dir(run_dir, given)]


def _earlier(file: Path, named: str) -> list[str]:
    """Return the overrides in `file`, which Hydra has left in the folder `named` of a run."""
    import yaml

    fix = "Give a folder below outputs/runs."
    if not file.is_file():
        raise SpecError("resume", f"{named} is not the folder of a run: it has no .hydra/overrides.yaml", fix)
    try:
        overrides = yaml.safe_load(file.read_text(encoding="utf-8")) or []
    except (yaml.YAMLError, UnicodeDecodeError):
        overrides = None
    if not isinstance(overrides, list) or not all(isinstance(one, str) for one in overrides):
        raise SpecError("resume", f"{file} is damaged: it is no list of overrides", fix)
    return overrides


def _config_dir(run_dir: Path, given: list[str]) -> list[str]:
    """Return the flag for the user's own folder of groups that the run had, unless `given` has one."""
    import yaml

    file = run_dir / ".hydra" / "hydra.yaml"
    if not file.is_file() or any(one.partition("=")[0] in ("--config-dir", "-cd") for one in given):
        return []
    try:
        sources = yaml.safe_load(file.read_text(encoding="utf-8"))["hydra"]["runtime"]["config_sources"]
        found = [source["path"] for source in sources if source["provider"] == "command-line"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        return []
    return ["--config-dir", found[0]] if found else []


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set `variables` in the environment, and put back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _register_resolvers() -> None:
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("archsearch_token", lambda: os.urandom(2).hex(), replace=True, use_cache=True)


if __name__ == "__main__":
    run_as_process(main)
