"""The command `run`: Hydra composes the command line, and each composed job is checked, trained and recorded.

Torch is not imported before the limits are checked, unless the check has to measure the machine's step times.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.cli.help import help_asked, help_text, version_text
from archsearch.cli.messages import exit_code, report_error
from archsearch.cli.modes import require_no_search
from archsearch.cli.output_folder import discard_folder, existing_part
from archsearch.cli.passwords import environment, hidden, mask_folder, mask_yaml, masked_output
from archsearch.config_files import ConfigSources, config_folder
from archsearch.errors import SpecError
from archsearch.formatting import printable
from archsearch.masking import hide_passwords, mask
from archsearch.notices import notice_once
from archsearch.overrides import group_of, key_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from archsearch.runs.trial import Origin


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments`; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    in_full = bool(os.environ.get("HYDRA_FULL_ERROR"))
    try:
        return exit_code(lambda: _run(given, in_full=in_full), in_full=in_full)
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else int(request.code is not None)


def _run(arguments: Sequence[str], *, in_full: bool) -> int:
    from archsearch.cli.arguments import hydra_arguments

    if (folders := help_asked(arguments)) is not None:
        sys.stdout.write(printable(help_text(folders)))
        return 0
    if {"--version", "-V"} & set(arguments):
        sys.stdout.write(version_text())
        return 0
    codes: list[int] = []
    first, passwords = hide_passwords(arguments)
    with (
        environment({"HYDRA_FULL_ERROR": "1"}),  # makes Hydra raise its errors instead of printing them
        hidden(hydra_arguments(first), passwords) as given,  # again, because files of overrides have been read now
    ):
        _start(given, _guard(_job, codes, in_full=in_full, existing=existing_part(given)))
    return max(codes, default=0)


def _start(given: list[str], job: Callable[[DictConfig], None]) -> None:
    """Run Hydra on the command line `given`; Hydra reads it from `sys.argv` and calls `job`."""
    import hydra
    from hydra._internal.utils import get_args_parser
    from omegaconf import OmegaConf

    from archsearch.cli.sources import check_files

    check_files()
    OmegaConf.register_new_resolver("archsearch_token", lambda: os.urandom(2).hex(), replace=True, use_cache=True)
    started = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(job)
    options = get_args_parser().parse_args(given)
    shows = options.cfg or options.info
    prints = shows or any(key_of(one) == "hydra.verbose" for one in given)
    # Otherwise Hydra would write its files before the job is checked, and overwrite those of a run in the same folder.
    deferred = (
        [] if shows or options.shell_completion or any(key_of(one) == _SUBDIR for one in given) else [f"{_SUBDIR}=null"]
    )
    # Hydra installs the completion for the program's name; `archsearch` completes all commands.
    program = "archsearch" if options.shell_completion else sys.argv[0]
    before, sys.argv = sys.argv, [program, *deferred, *given]
    try:
        with _own_logging(), _composed_once(given), masked_output() if prints else contextlib.nullcontext():
            started()
    finally:
        sys.argv = before


@contextlib.contextmanager
def _composed_once(given: Sequence[str]) -> Iterator[None]:
    """Skip the extra composition by which Hydra reads `hydra.mode`, which only the command line may set."""
    from hydra._internal.hydra import Hydra

    read = Hydra.get_mode
    if not any(key_of(one) == "hydra.mode" for one in given):
        Hydra.get_mode = lambda self, config_name, overrides: None  # None: the mode is not set
    try:
        yield
    finally:
        Hydra.get_mode = read


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Restore the root logger's handlers and level after the block; for a job, Hydra sets its own."""
    import logging

    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            root.removeHandler(handler)
            handler.close()
        root.setLevel(level)


def _guard(
    job: Callable[[DictConfig], None], codes: list[int], *, in_full: bool, existing: Path
) -> Callable[[DictConfig], None]:
    """Return a `job` that reports its errors and appends its exit code to `codes`.

    If the run is rejected (exit code 2), its folder is removed, with the empty folders around it below `existing`.
    """

    def guarded(config: DictConfig) -> None:
        from hydra.core.hydra_config import HydraConfig

        codes.append(0)
        runtime = HydraConfig.get().runtime
        try:
            with contextlib.chdir(runtime.cwd):  # relative paths then do not depend on hydra.job.chdir
                job(config)
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  (reported, with its own exit code)
            codes[-1] = report_error(error, in_full=in_full)
        if codes[-1] == 2 and config.get("resume") is None:
            discard_folder(existing)
        if codes[-1] == 130:
            sys.exit(130)

    return guarded


def _job(config: DictConfig) -> None:
    """Check, train and record one composed configuration in Hydra's output folder."""
    from hydra.core.hydra_config import HydraConfig

    from archsearch.analysis.check import begun, check_design, require
    from archsearch.cli.compose import read_tree
    from archsearch.runs.seconds import predictor_of
    from archsearch.settings.experiment import decode_experiment

    hydra_config = HydraConfig.get()
    _mask_logs(verbose=bool(hydra_config.verbose))
    run_dir, overrides = Path(hydra_config.runtime.output_dir), _plain_texts(hydra_config.overrides.task)
    files = _configuration(config, HydraConfig.instance().cfg, overrides)  # before interpolations are resolved
    if (folder := hydra_config.output_subdir) is not None:
        mask_folder(run_dir / folder)
    sources = ConfigSources.from_hydra(hydra_config)
    if config.get("resume") is None:
        require_no_search(overrides, config.get("space"), sources)
    tree, blocks = read_tree(config, sources.paths)
    experiment = decode_experiment(tree, blocks)
    checked = check_design(experiment.design, experiment.limits, blocks, predictor_of(experiment))
    if experiment.resume is not None:
        checked = begun(checked)
    require(checked)
    for notice in checked.notices:
        notice_once(notice)
    from archsearch.runs.folder import require_own_folder
    from archsearch.runs.single import complete, run_single
    from hydra_plugins.archsearch_sweeper._preflight import require_machine

    resumed = experiment.resume is not None
    if experiment.resume is not None and Path(experiment.resume).expanduser().resolve() != run_dir.resolve():
        raise SpecError("resume", "must be given on the command line", "Write resume=RUN_DIR after the command.")
    require_own_folder(run_dir, checked, overrides, resumed=resumed)
    origin = _origin(hydra_config, tree)
    if resumed and (done := complete(experiment, checked, run_dir, origin)) is not None:
        print(printable(f"{experiment.resume} is already complete: {done}"))
        return
    require_machine(experiment)
    run_single(experiment, checked, run_dir, origin, {} if folder else files)


def _mask_logs(*, verbose: bool) -> None:
    """Mask the passwords in all log records; if `verbose`, also log to stderr unless a handler already does.

    That handler skips archsearch's own records of level INFO and above, because the command prints them itself.
    """
    import logging

    def masked(record: logging.LogRecord) -> bool:
        record.msg, record.args = mask(record.getMessage()), ()
        return True

    def not_shown_yet(record: logging.LogRecord) -> bool:
        return record.name != "archsearch" or record.levelno < logging.INFO

    root = logging.getLogger()
    if verbose and all(isinstance(handler, logging.FileHandler) for handler in root.handlers):
        console = logging.StreamHandler()
        console.setFormatter(logging.Formatter("[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"))
        console.addFilter(not_shown_yet)
        root.addHandler(console)
    for handler in root.handlers:
        handler.addFilter(masked)


_SUBDIR = "hydra.output_subdir"


def _configuration(config: DictConfig, hydra_config: Any, overrides: Sequence[str]) -> dict[str, str]:
    """Return Hydra's files of a job by name relative to the run directory, with passwords masked."""
    from omegaconf import OmegaConf

    found = {"config.yaml": config, "hydra.yaml": hydra_config, "overrides.yaml": OmegaConf.create(list(overrides))}
    return {f".hydra/{name}": mask_yaml(OmegaConf.to_yaml(one)) for name, one in found.items()}


def _plain_texts(overrides: Any) -> list[str]:
    """Return the overrides of a job as given: `${oc.env:...}` in them stays unresolved."""
    from omegaconf import OmegaConf

    found: Any = OmegaConf.to_container(overrides, resolve=False)
    return [str(one) for one in found]


def _origin(hydra_config: Any, tree: Mapping[str, Any]) -> Origin:
    """Return the selected groups and the keys that were set, in the form in which the study database stores them."""
    from archsearch.runs.trial import Origin

    choices = hydra_config.runtime.choices
    assignments: dict[str, Any] = {"arch": choices.get("arch"), "block": choices.get("block")}
    for override in hydra_config.overrides.task:
        key = key_of(override)
        if group_of(override) not in ("study", "data", "resume", "experiment", "tracking"):
            assignments[key] = choices[key] if key in choices else _item(tree, key)
    scalars = {key: value for key, value in assignments.items() if isinstance(value, bool | int | float | str)}
    return Origin(limits=str(choices.get("constraints", "none")), assignments=scalars, tree=tree)


def _item(tree: Mapping[str, Any], key: str) -> Any:
    """Return the value at the dotted `key` of `tree`; None if there is none."""
    found: Any = tree
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
