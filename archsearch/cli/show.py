"""The command `show`: a design's layers, costs, receptive fields and limits; no torch, no data.

Drawings and what is shown of finished runs are imported when needed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from archsearch.cli.help import version_text
from archsearch.cli.messages import exit_code
from archsearch.cli.passwords import hidden
from archsearch.config_files import ConfigSources
from archsearch.decode import suggest
from archsearch.errors import SpecError
from archsearch.formatting import percent, printable
from archsearch.overrides import key_of, text_of

SHOWS = ("plot", "samples", "erf", "card")
"""What `show` takes besides the overrides of `run`."""
_EPILOG = """\
Overrides are those of archsearch.run, and:
  plot=FILE.png      draws the design
  samples=FILE.png   draws augmented training images (augment=NAME chooses how)
  erf=RUN_DIR        draws the effective receptive field of a trained network (plot=FILE.png elsewhere)
  card=RUN_DIR       draws its report card (augment=NAME: under other augmentations)

Exit code 2 if a limit is broken.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Report wrong arguments, which may hold control characters, and end the command."""
        super().error(printable(message))


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the design that `arguments` (overrides and flags) describe; return the exit code."""
    parser = _Parser(
        prog="python -m archsearch.show",
        description="Show a design's layers, costs and receptive fields, and whether it keeps its limits; no torch, "
        "no data.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", help="key=value, as for archsearch.run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--config-dir", "-cd", action="append", default=[], help="folder with your own config groups")
    parser.add_argument("--config-name", "-cn", help="main file of your own, in that folder")
    parser.add_argument("--version", "-V", action="version", version=version_text(), help="print the version")
    with hidden(sys.argv[1:] if arguments is None else arguments) as given:
        return exit_code(lambda: _show(parser, given))


def _show(parser: argparse.ArgumentParser, given: Sequence[str]) -> int:
    from archsearch.cli.arguments import parsed, sources_given
    from archsearch.cli.unknown import top_keys

    options = parsed(parser, given, "See --help.")
    overrides, sources = options.overrides, sources_given(options.config_dir, options.config_name)
    places = {key: _taken_out(overrides, key) for key in SHOWS}
    for key in map(key_of, overrides):
        if key not in top_keys() and (close := suggest(key, SHOWS)).startswith("Did"):
            raise SpecError(key, "unknown key", close)
    if run_dir := places["erf"]:
        return _show_field(run_dir, places["plot"])
    if run_dir := places["card"]:
        return _show_card(run_dir, places["plot"], overrides, sources)
    if file := places["samples"]:
        return _show_samples(file, overrides, sources)
    return _show_design(overrides, sources, as_json=options.json, plot=places["plot"])


def _show_design(overrides: list[str], sources: ConfigSources, *, as_json: bool, plot: Path | None) -> int:
    from archsearch.analysis.check import check_design
    from archsearch.cli.compose import compose_tree
    from archsearch.notices import notice_once
    from archsearch.report.terminal.design import design_record, design_text
    from archsearch.settings.experiment import decode_experiment

    tree, blocks = compose_tree(overrides, sources)
    experiment = decode_experiment(tree, blocks)
    checked = check_design(experiment.design, experiment.limits, blocks)
    for notice in checked.notices:
        notice_once(notice)
    if plot:
        from archsearch.report.figures.design import draw_design

        draw_design(checked, plot)
        print(printable(f"drawing: {plot}"), file=sys.stderr)
    if as_json:
        print(json.dumps(design_record(checked)))
    else:
        plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        sys.stdout.write(design_text(checked, styled=not plain))
    sys.stdout.flush()  # here, where a reader that has gone is no error
    return 0 if checked.kept else 2


def _show_samples(file: Path, overrides: list[str], sources: ConfigSources) -> int:
    from archsearch.cli.compose import compose_tree
    from archsearch.runs.card import draw_samples

    draw_samples(compose_tree(overrides, sources)[0], file)
    print(printable(f"augmented samples: {file}"), file=sys.stderr)
    return 0


def _show_field(run_dir: Path, plot: Path | None) -> int:
    from archsearch.runs.erf import draw_erf

    file = plot or run_dir / "erf.png"
    for stage in draw_erf(run_dir, file):
        print(printable(f"{stage.stage}: {stage.size} px, effective {stage.effective:.1f} px"))
    print(printable(f"effective receptive field: {file}"), file=sys.stderr)
    return 0


def _show_card(run_dir: Path, plot: Path | None, overrides: list[str], sources: ConfigSources) -> int:
    from archsearch.cli.compose import compose_tree
    from archsearch.runs.card import renew_card
    from archsearch.settings.augment import decode_policy

    policy = None
    if overrides:  # another one than the run's own
        policy = decode_policy(compose_tree(overrides, sources)[0].get("augment", {}))
    card, file = renew_card(run_dir, plot, policy=policy)
    figures = f"accuracy {percent(card.accuracy)}, calibration error {percent(card.calibration_error, 1)}"
    print(printable(f"{card.images} {card.split} images, {figures}"))
    print(printable(f"report card: {file}"), file=sys.stderr)
    return 0


def _taken_out(overrides: list[str], key: str) -> Path | None:
    """Take `key=FILE` out of `overrides` and return the file; None if there is none."""
    for override in overrides:
        if not override.startswith(f"{key}="):
            continue
        overrides.remove(override)
        if not (name := text_of(override)):
            kind, place = ("folder", "RUN_DIR") if key in ("erf", "card") else ("file", "FILE.png")
            raise SpecError(key, f"needs a {kind}", f"Write {key}={place}.")
        return Path(name)
    return None
