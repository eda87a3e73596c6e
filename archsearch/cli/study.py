"""The command `study`: lists, explains, plots, exports and fixes studies.

All commands except `doctor --fix` are read-only with respect to the database. Each command imports what it prints
when it runs.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsearch.cli.messages import exit_code, report_error
from archsearch.decode import suggest
from archsearch.errors import SpecError, UsageError
from archsearch.formatting import printable
from archsearch.masking import mask_texts

if TYPE_CHECKING:
    from rich.console import Console

    from archsearch.search.storage.read import StudyRead, TrialRead
    from archsearch.search.storage.reader import Reader

_DEFAULT = "sqlite:///outputs/studies.db"
_STATES = ("complete", "pruned", "diverged", "failed", "infeasible", "duplicate", "running", "waiting")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments`; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code(lambda: _dispatch(given))


def _dispatch(given: list[str]) -> int:
    try:
        commands.main(given, prog_name="python -m archsearch.study", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as request:
        click.echo(request.format_message())
    except click.ClickException as error:
        return report_error(UsageError(f"{error.format_message()} {_closest(error)}"))
    except click.Abort:
        return report_error(KeyboardInterrupt())
    return 0


def _closest(error: click.ClickException) -> str:
    """Return a suggestion of the closest of an option's choices, or a reference to --help."""
    known = error.param.type if isinstance(error, click.BadParameter) and error.param is not None else None
    given = re.search(r"'([^']*)' is not one of", error.format_message())
    close = suggest(given[1], known.choices) if isinstance(known, click.Choice) and given is not None else ""
    return close if close.startswith("Did") else "See --help."


class _Command(click.Command):
    def get_short_help_str(self, limit: int = 45) -> str:
        """Return the untruncated first line of the help, for the list of commands."""
        return (self.help or "").partition("\n")[0]


class _Group(click.Group):
    command_class = _Command


@click.version_option(message="%(package)s %(version)s", package_name="archsearch")
@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """List, explain, plot and export studies. STUDY can be omitted if the database contains only one."""


_study = click.argument("study", required=False)
_storage = click.option(
    "--storage",
    default=_DEFAULT,
    show_default=True,
    help="Database: sqlite:///FILE, postgresql://USER@HOST/DATABASE or journal:FILE.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the output as one JSON value.")
_path = click.Path(path_type=Path)


@commands.command("ls")
@_storage
@_json
def _ls(storage: str, as_json: bool) -> None:
    """List the studies: trials by state, best value, last activity."""
    from archsearch.report.records import overview_records
    from archsearch.report.terminal.studies import print_overviews

    found = _reader(storage).overviews()
    _print(as_json, lambda: overview_records(found), lambda console: print_overviews(found, console))


@commands.command("show")
@_study
@click.option("--by", help="Rank by an objective, parameters, macs, receptive_field, seconds, trial, ...")
@click.option("--reverse", is_flag=True, help="Show the worst trials first.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Show at most this many trials."
)
@click.option(
    "--state",
    "states",
    type=click.Choice(_STATES),
    multiple=True,
    help="Show only trials in this state. [default: complete]",
)
@_storage
@_json
def _show(
    study: str | None, by: str | None, reverse: bool, limit: int, states: tuple[str, ...], storage: str, as_json: bool
) -> None:
    """Show the leaderboard: accuracy, parameters, MACs, receptive field, time, blocks, files."""
    from archsearch.report.records import ranking, study_record
    from archsearch.report.terminal.studies import print_study

    found = _reader(storage).study(study)
    rows = ranking(found, by=by, states=states or ("complete",), reverse=reverse)
    _print(
        as_json,
        lambda: study_record(found, rows[:limit]),
        lambda console: print_study(found, rows[:limit], console, total=len(rows), by=by),
    )


@commands.command("best")
@_study
@_storage
@_json
def _best(study: str | None, storage: str, as_json: bool) -> None:
    """Show the best design, its limits, and the command that trains it again."""
    from archsearch.report.records import trial_record
    from archsearch.report.terminal.studies import print_best

    found = _reader(storage).study(study)
    trial = _best_of(found)
    _print(as_json, lambda: trial_record(found, trial), lambda console: print_best(found, trial, console))


@commands.command("trial")
@click.argument("names", nargs=-1, required=True, metavar="[STUDY] NUMBER")
@_storage
@_json
def _trial(names: tuple[str, ...], storage: str, as_json: bool) -> None:
    """Show one trial in full: learning curve, limits, log, traceback if it failed."""
    from archsearch.report.records import trial_record
    from archsearch.report.terminal.studies import print_trial

    study, (number,) = _numbers(names, None, count=1)
    found = _reader(storage).study(study)
    trial = _trial_of(found, number)
    _print(as_json, lambda: trial_record(found, trial), lambda console: print_trial(found, trial, console))


@commands.command("compare")
@click.argument("names", nargs=-1, required=True, metavar="[STUDY] NUMBER NUMBER")
@click.option("--study", help="Name of the study; it can also be given before the numbers.")
@click.option("--plot", type=_path, help="Draw both learning curves to FILE.png, .svg or .pdf.")
@_storage
@_json
def _compare(names: tuple[str, ...], study: str | None, plot: Path | None, storage: str, as_json: bool) -> None:
    """Compare two trials: results, settings and layers."""
    from archsearch.report.figures.study import draw_comparison
    from archsearch.report.records import comparison_record
    from archsearch.report.terminal.studies import print_comparison

    study, (one, other) = _numbers(names, study, count=2)
    found = _reader(storage).study(study)
    trials = (_trial_of(found, one), _trial_of(found, other))
    record = comparison_record(found, *trials)
    if plot is not None:
        draw_comparison(found, trials, plot)
        click.echo(printable(f"drawing: {plot}"), err=True)
    _print(as_json, lambda: record, lambda console: print_comparison(found, record, trials, console))


@commands.command("why")
@_study
@_storage
@_json
def _why(study: str | None, storage: str, as_json: bool) -> None:
    """Explain a study: infeasible designs by limit, nearest misses, failures, parameter importance."""
    from archsearch.report.records import why_record
    from archsearch.report.terminal.studies import print_why
    from archsearch.search.explain import explain, importances

    found = _reader(storage).study(study)
    why, shares = explain(found), importances(found)
    _print(as_json, lambda: why_record(found, why, shares), lambda console: print_why(found, why, shares, console))


@commands.command("export")
@_study
@click.option("--csv", type=_path, help="Write one row per trial.")
@click.option("--json", type=_path, help="Write the whole study.")
@click.option("--design", type=_path, help="Write the best design.")
@click.option("--folder", type=_path, help="Write all three. [default: outputs/exports/STUDY]")
@click.option("--onnx", type=_path, help="Write the best network as FILE.onnx.")
@click.option("--torch-export", type=_path, help="Write the best network as FILE.pt2.")
@click.option("--safetensors", type=_path, help="Write the best weights and their design in one file.")
@click.option("--trial", "number", type=click.IntRange(min=0), help="Use this trial instead of the best one.")
@_storage
def _export(
    study: str | None,
    folder: Path | None,
    number: int | None,
    storage: str,
    **named: Path | None,
) -> None:
    """Write the study as CSV and JSON, its best design as YAML, its best network for other programs."""
    from archsearch.formatting import folder_name
    from archsearch.report.export import export_study, folder_files

    found = _reader(storage).study(study)
    trial = None if number is None else _trial_of(found, number)
    onnx, torch_export, safetensors = (named.pop(kind) for kind in ("onnx", "torch_export", "safetensors"))
    files = {kind: file for kind, file in named.items() if file is not None}
    if onnx or torch_export or safetensors:
        from archsearch.runs.export import export_network
        from archsearch.runs.files import run_folder

        run_dir = run_folder(found, trial or _best_of(found))
        lines = export_network(run_dir, onnx=onnx, torch_export=torch_export, safetensors=safetensors)
        click.echo(printable("\n".join(lines)))
        if not (files or folder):
            return
    if not files or folder is not None:
        files = {**folder_files(found, folder or Path("outputs/exports", folder_name(found.name))), **files}
    for line in export_study(found, files, trial=trial):
        click.echo(printable(line))


@commands.command("report")
@_study
@click.option("--file", type=_path, help="Write to this file. [default: outputs/reports/STUDY.html]")
@_storage
@_json
def _report(study: str | None, file: Path | None, storage: str, as_json: bool) -> None:
    """Write a report as one self-contained HTML page."""
    from archsearch.formatting import folder_name
    from archsearch.report.html.page import write_report

    found = _reader(storage).study(study)
    target = file or Path("outputs/reports", f"{folder_name(found.name)}.html")
    write_report(found, target)
    _print_files([target], as_json=as_json)


@commands.command("plot")
@_study
@click.option("--folder", type=_path, help="Write to this folder. [default: outputs/reports/STUDY]")
@click.option(
    "--format",
    "formats",
    type=click.Choice(["png", "svg"]),
    multiple=True,
    help="Write only this. [default: both]",
)
@_storage
@_json
def _plot(study: str | None, folder: Path | None, formats: tuple[str, ...], storage: str, as_json: bool) -> None:
    """Plot a study: history, Pareto front, importance, learning curves."""
    from archsearch.formatting import folder_name
    from archsearch.report.figures.study import draw_study

    found = _reader(storage).study(study)
    drawn = draw_study(found, folder or Path("outputs/reports", folder_name(found.name)), formats or ("png", "svg"))
    _print_files(drawn, as_json=as_json)


@commands.command("doctor")
@click.option("--fix", is_flag=True, help="Fix every problem that can be fixed without loss of data.")
@click.option(
    "--grace", type=click.FloatRange(min=0.1), help="Seconds to wait for heartbeats of workers on other machines."
)
@_storage
@_json
def _doctor(fix: bool, grace: float | None, storage: str, as_json: bool) -> None:
    """Find what killed processes left behind: running trials, missing files, logs, locks, old tables."""
    from archsearch.report.records import finding_record
    from archsearch.report.terminal.studies import print_findings
    from archsearch.search.storage.doctor import apply_fixes, examine

    reader = _reader(storage)
    found = examine(reader, grace=grace)
    applied = apply_fixes(reader, found) if fix else None
    _print(
        as_json,
        lambda: {"findings": [finding_record(one) for one in found], "fixed": applied or []},
        lambda console: print_findings(found, applied, console),
    )


def _reader(storage: str) -> Reader:
    from archsearch.search.storage.reader import open_reader

    return open_reader(storage)


def _best_of(study: StudyRead) -> TrialRead:
    from archsearch.report.vocabulary import counted

    for trial in study.ranked():
        return trial
    raise SpecError("study", f"'{study.name}' has no complete trial ({counted(study.counts())})")


def _trial_of(study: StudyRead, number: int) -> TrialRead:
    for trial in study.trials:
        if trial.number == number:
            return trial
    last = max((trial.number for trial in study.trials), default=None)
    fix = "It has no trials yet." if last is None else f"The last trial is {last}."
    raise SpecError("trial", f"study '{study.name}' has no trial {number}", fix)


def _numbers(names: Sequence[str], study: str | None, *, count: int) -> tuple[str | None, list[int]]:
    """Return the study that `names` begins with, if any, else `study`, and the `count` trial numbers at its end."""
    first = len(names) - count
    if first not in (0, 1) or (first == 1 and study is not None) or not all(one.isdecimal() for one in names[first:]):
        wanted = f"{count} trial numbers" if count > 1 else "a trial number"
        fix = f"Write [STUDY]{' NUMBER' * count}."
        raise SpecError("trial", f"expected {wanted}, got '{' '.join(names)}'", fix)
    return (names[0] if first else study), [int(one) for one in names[first:]]


def _print(as_json: bool, record: Callable[[], Any], show: Callable[[Console], None]) -> None:
    """Print the record as JSON, or call `show` with a console."""
    if as_json:
        from archsearch.report.records import strict

        click.echo(json.dumps(mask_texts(strict(record())), allow_nan=False))
    else:
        from rich.console import Console

        show(Console(highlight=False, width=None if sys.stdout.isatty() else 160))


def _print_files(files: Sequence[Path], *, as_json: bool) -> None:
    names = [str(file) for file in files]
    _print(as_json, lambda: {"files": names}, lambda _: click.echo(printable("\n".join(names))))
