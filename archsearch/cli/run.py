"""The command `run`: Hydra composes the command line, and each composed job is checked, trained and recorded.

No torch before the limits are kept.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.cli.help import help_asked, help_text
from archsearch.cli.messages import exit_code, report_error
from archsearch.cli.passwords import environment, hidden, mask_folder, masked_output
from archsearch.config_files import config_folder
from archsearch.errors import SpecError
from archsearch.masking import hide_passwords
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
        sys.stdout.write(help_text(folders))
        return 0
    codes: list[int] = []
    first, passwords = hide_passwords(arguments)
    with (
        environment({"HYDRA_FULL_ERROR": "1"}),  # Hydra then hands its errors on
        hidden(hydra_arguments(first), passwords) as given,  # a second time, after files of overrides were read
    ):
        _start(given, _guard(_job, codes, in_full=in_full))
    return max(codes, default=0)


def _start(given: list[str], job: Callable[[DictConfig], None]) -> None:
    """Hand `given` to Hydra, which reads the command line itself and calls `job`."""
    import hydra
    from hydra._internal.utils import get_args_parser
    from omegaconf import OmegaConf

    from archsearch.cli.config_source import check_files

    check_files()
    OmegaConf.register_new_resolver("archsearch_token", lambda: os.urandom(2).hex(), replace=True, use_cache=True)
    started = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(job)
    options = get_args_parser().parse_args(given)
    prints = options.cfg or options.info or any(key_of(one) == "hydra.verbose" for one in given)
    before, sys.argv = sys.argv, [sys.argv[0], *given]
    try:
        with masked_output() if prints else contextlib.nullcontext():
            started()
    finally:
        sys.argv = before


def _guard(job: Callable[[DictConfig], None], codes: list[int], *, in_full: bool) -> Callable[[DictConfig], None]:
    """Return `job` with its errors reported, and its exit code added to `codes`."""

    def guarded(config: DictConfig) -> None:
        codes.append(0)
        try:
            job(config)
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  (reported, with its own exit code)
            codes[-1] = report_error(error, in_full=in_full)
        if codes[-1] == 130:
            sys.exit(130)

    return guarded


def _job(config: DictConfig) -> None:
    """Check, train and record one composed configuration in Hydra's output folder."""
    from hydra.core.hydra_config import HydraConfig

    from archsearch.analysis.check import check_design, require
    from archsearch.cli.compose import read_tree
    from archsearch.settings.experiment import decode_experiment

    runtime = HydraConfig.get().runtime
    run_dir = Path(runtime.output_dir)
    if (folder := HydraConfig.get().output_subdir) is not None:
        mask_folder(run_dir / folder)
    folders = [Path(source.path) for source in runtime.config_sources if source.schema == "file"]
    tree, blocks = read_tree(config, [one for one in folders if one != config_folder()])
    experiment = decode_experiment(tree, blocks)
    checked = check_design(experiment.design, experiment.limits, blocks)
    require(checked)
    for notice in checked.notices:
        notice_once(notice)
    from archsearch.runs.single import finished, run_single

    if experiment.resume is not None:
        if Path(experiment.resume).expanduser().resolve() != run_dir.resolve():
            raise SpecError("resume", "must be given on the command line", "Write resume=RUN_DIR after the command.")
        if (done := finished(run_dir)) is not None:
            print(f"{experiment.resume} is already complete: {done}")
            return
    run_single(experiment, checked, run_dir, _origin(HydraConfig.get(), tree))


def _origin(hydra_config: Any, tree: Mapping[str, Any]) -> Origin:
    """Return the groups that were chosen and the keys that were set, as the study database keeps them."""
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
    """Return the value at the dotted `key` of `tree`, None if there is none."""
    found: Any = tree
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
