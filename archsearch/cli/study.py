"""The command `study`: lists, explains, plots, exports and fixes studies.

Commands are read-only, except for `doctor --fix`; what they print is imported where it
is asked for.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsearch.cli.messages import exit_code, report_error
from archsearch.errors import SpecError, UsageError
from archsearch.masking import mask

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
        return report_error(UsageError(f"{error.format_message()} See --help."))
    except click.Abort:
        return report_error(KeyboardInterrupt())
    return 0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
def commands() -> None:
    """List, explain, plot and export studies. STUDY can be omitted if the database contains only one."""


def _storage(command: Callable[..., None]) -> Callable[..., None]:
    text = "sqlite:///FILE, postgresql://USER@HOST/DATABASE or journal:FILE."
    return click.option("--storage", default=_DEFAULT, show_default=True, help=text)(command)


def _json(command: Callable[..., None]) -> Callable[..., None]:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")(command)


@commands.command("ls")
@_storage
@_json
def _ls(storage: str, as_json: bool) -> None:
    """List the studies: trials by state, best value, last activity."""
    from archsearch.report.records import overview_record
    from archsearch.report.terminal.studies import print_overviews

    found = _reader(storage).overviews()
    if as_json:
        _print_json([overview_record(one) for one in found])
    else:
        print_overviews(found, _console())


@commands.command("show")
@click.argument("study", required=False)
@click.option("--by", help="Rank by an objective, parameters, macs, receptive_field, seconds, trial, ...")
@click.option("--reverse", is_flag=True, help="Worst first.")
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
    if as_json:
        _print_json(study_record(found, rows[:limit]))
    else:
        print_study(found, rows[:limit], _console(), total=len(rows))


@commands.command("best")
@click.argument("study", required=False)
@_storage
@_json
def _best(study: str | None, storage: str, as_json: bool) -> None:
    """Show the best design, its limits, and the command that trains it again."""
    from archsearch.report.records import trial_record
    from archsearch.report.terminal.studies import print_best

    found = _reader(storage).study(study)
    trial = _best_of(found)
    if as_json:
        _print_json(trial_record(found, trial))
    else:
        print_best(found, trial, _console())


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
    if as_json:
        _print_json(trial_record(found, trial))
    else:
        print_trial(found, trial, _console())


@commands.command("compare")
@click.argument("names", nargs=-1, required=True, metavar="[STUDY] NUMBER NUMBER")
@click.option("--study", help="Study; can also be given before the numbers.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw both learning curves to FILE.png, .svg or .pdf.")
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
        click.echo(f"drawing: {plot}", err=True)
    if as_json:
        _print_json(record)
    else:
        print_comparison(found, record, trials, _console())


@commands.command("why")
@click.argument("study", required=False)
@_storage
@_json
def _why(study: str | None, storage: str, as_json: bool) -> None:
    """Explain a study: infeasible designs by limit, nearest misses, failures, parameter importance."""
    from archsearch.report.records import why_record
    from archsearch.report.terminal.studies import print_why
    from archsearch.search.explain import explain, importances

    found = _reader(storage).study(study)
    why, shares = explain(found), importances(found)
    if as_json:
        _print_json(why_record(found, why, shares))
    else:
        print_why(found, why, shares, _console())


@commands.command("export")
@click.argument("study", required=False)
@click.option("--csv", "csv_file", type=click.Path(path_type=Path), help="Write one row per trial.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the whole study.")
@click.option("--design", "design_file", type=click.Path(path_type=Path), help="Write the best design.")
@click.option("--folder", type=click.Path(path_type=Path), help="Write all three. [default: outputs/exports/STUDY]")
@click.option("--onnx", type=click.Path(path_type=Path), help="Write the best network as FILE.onnx.")
@click.option("--torch-export", type=click.Path(path_type=Path), help="Write the best network as FILE.pt2.")
@click.option(
    "--safetensors", type=click.Path(path_type=Path), help="Write the best weights and their design in one file."
)
@click.option("--trial", "number", type=click.IntRange(min=0), help="Use this trial instead of the best one.")
@_storage
def _export(
    study: str | None,
    csv_file: Path | None,
    json_file: Path | None,
    design_file: Path | None,
    folder: Path | None,
    onnx: Path | None,
    torch_export: Path | None,
    safetensors: Path | None,
    number: int | None,
    storage: str,
) -> None:
    """Write the study as CSV and JSON, its best design as YAML, its best network for other programs."""
    from archsearch.report.export import export_study, folder_files, folder_name
    from archsearch.report.records import run_folder

    found = _reader(storage).study(study)
    trial = None if number is None else _trial_of(found, number)
    if onnx or torch_export or safetensors:
        from archsearch.runs.export import export_network

        run_dir = run_folder(trial or _best_of(found))
        lines = export_network(run_dir, onnx=onnx, torch_export=torch_export, safetensors=safetensors)
        click.echo("\n".join(lines))
        if not (csv_file or json_file or design_file or folder):
            return
    named = {"csv": csv_file, "json": json_file, "design": design_file}
    files = {kind: file for kind, file in named.items() if file is not None}
    if not files or folder is not None:
        files = {**folder_files(found, folder or Path("outputs/exports", folder_name(found))), **files}
    for line in export_study(found, files, trial=trial):
        click.echo(line)


@commands.command("report")
@click.argument("study", required=False)
@click.option("--file", type=click.Path(path_type=Path), help="[default: outputs/reports/STUDY.html]")
@_storage
@_json
def _report(study: str | None, file: Path | None, storage: str, as_json: bool) -> None:
    """Write a report as one self-contained HTML page."""
    from archsearch.report.export import folder_name
    from archsearch.report.html.page import write_report

    found = _reader(storage).study(study)
    target = file or Path("outputs/reports", f"{folder_name(found)}.html")
    write_report(found, target)
    _print_files([target], as_json=as_json)


@commands.command("plot")
@click.argument("study", required=False)
@click.option("--folder", type=click.Path(path_type=Path), help="[default: outputs/reports/STUDY]")
@click.option("--format", "formats", type=click.Choice(["png", "svg"]), multiple=True, help="[default: both]")
@_storage
@_json
def _plot(study: str | None, folder: Path | None, formats: tuple[str, ...], storage: str, as_json: bool) -> None:
    """Plot a study: history, Pareto front, importance, learning curves."""
    from archsearch.report.export import folder_name
    from archsearch.report.figures.study import draw_study

    found = _reader(storage).study(study)
    drawn = draw_study(found, folder or Path("outputs/reports", folder_name(found)), formats or ("png", "svg"))
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
    if as_json:
        _print_json({"findings": [finding_record(one) for one in found], "fixed": applied or []})
    else:
        print_findings(found, applied, _console())


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
    """Return the study at the start of `names`, if any, and the `count` trials at their end."""
    first = len(names) - count
    if first not in (0, 1) or (first == 1 and study is not None) or not all(one.isdecimal() for one in names[first:]):
        wanted = f"{count} trial numbers" if count > 1 else "a trial number"
        fix = f"Write [STUDY]{' NUMBER' * count}."
        raise SpecError("trial", f"expected {wanted}, got '{' '.join(names)}'", fix)
    return (names[0] if first else study), [int(one) for one in names[first:]]


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def _print_json(value: Any) -> None:
    from archsearch.report.records import strict

    click.echo(mask(json.dumps(strict(value), allow_nan=False)))


def _print_files(files: Sequence[Path], *, as_json: bool) -> None:
    if as_json:
        _print_json({"files": [str(file) for file in files]})
    else:
        for file in files:
            click.echo(str(file))
