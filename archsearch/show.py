"""`python -m archsearch.show`: what a design costs and sees, and how it stands to its limits; no torch, no data.

    python -m archsearch.show block=dilated              tables
    python -m archsearch.show arch=assignment --json     the same as JSON
    python -m archsearch.show plot=FILE.png              a picture of the design
    python -m archsearch.show augment=strong samples=FILE.png   augmented training images
    python -m archsearch.show erf=RUN_DIR                what a trained network looks at (plot=FILE.png elsewhere)
    python -m archsearch.show card=RUN_DIR               its report card (augment=NAME shows what that did)

Ends with 2 where a limit breaks.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from archsearch.errors import SpecError
from archsearch.messages import tell
from archsearch.process import run_as_process


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the design that `arguments` (overrides and flags) describe; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m archsearch.show",
        description="What a design costs and sees, and how it stands to its limits; no torch, no data.",
        epilog="Overrides are those of archsearch.run. plot=FILE.png draws the design; samples=FILE.png draws "
        "augmented training images; erf=RUN_DIR the effective receptive field of a trained network, "
        "card=RUN_DIR its report card. "
        "Exit code 2 where a limit breaks.",
    )
    parser.add_argument("overrides", nargs="*", help="key=value, as for archsearch.run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--config-dir", action="append", default=[], help="folder with groups of your own")
    options = parser.parse_intermixed_args(arguments)
    try:
        return _show(options.overrides, as_json=options.json, folders=[Path(one) for one in options.config_dir])
    except BrokenPipeError:  # the reader of a pipe has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  (told, with its own exit code)
        return tell(error)


def _show(overrides: list[str], *, as_json: bool, folders: list[Path]) -> int:
    from archsearch.analysis.check import check_design
    from archsearch.composition import compose_tree
    from archsearch.report.terminal.design import design_record, design_text
    from archsearch.settings.experiment import decode_experiment

    pictures = {key: _picture(overrides, key) for key in ("plot", "samples", "erf", "card")}
    if run_dir := pictures["erf"]:
        from archsearch.runs.erf import draw_erf

        file = pictures["plot"] or run_dir / "erf.png"
        sights = draw_erf(run_dir, file)
        for sight in sights:
            print(f"{sight.stage}: {sight.size} px, effective {sight.effective:.1f} px")
        print(f"effective receptive field: {file}", file=sys.stderr)
        return 0
    if run_dir := pictures["card"]:
        from archsearch.runs.card import renew_card
        from archsearch.settings.augment import decode_policy

        policy = None
        if overrides:  # another one than the run's own
            policy = decode_policy(compose_tree(overrides, folders)[0].get("augment", {}))
        card, file = renew_card(run_dir, pictures["plot"], policy=policy)
        print(f"{card.images} {card.split} images, {100 * card.accuracy:.2f} % right, "
              f"calibration error {100 * card.calibration_error:.1f} %")  # fmt: skip
        print(f"report card: {file}", file=sys.stderr)
        return 0
    tree, blocks = compose_tree(overrides, folders)
    if samples := pictures["samples"]:
        from archsearch.runs.samples import draw_samples

        draw_samples(tree, samples)
        print(f"augmented samples: {samples}", file=sys.stderr)
        return 0
    experiment = decode_experiment(tree, blocks)
    checked = check_design(experiment.design, experiment.limits, blocks)
    if plot := pictures["plot"]:
        from archsearch.report.figures.design import draw_design

        draw_design(checked, plot)
        print(f"drawing: {plot}", file=sys.stderr)
    if as_json:
        print(json.dumps(design_record(checked)))
    else:
        plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        sys.stdout.write(design_text(checked, styled=not plain))
    sys.stdout.flush()  # here, where a reader that has gone is nothing to tell
    return 0 if checked.kept else 2


def _picture(overrides: list[str], key: str) -> Path | None:
    """Take `key=FILE` out of `overrides` and return the file."""
    for override in overrides:
        if override.startswith(f"{key}="):
            overrides.remove(override)
            if not (name := override.partition("=")[2].strip("'\"")):
                raise SpecError(
                    key, "needs a place", f"Write {key}={'RUN_DIR' if key in ('erf', 'card') else 'FILE.png'}."
                )
            return Path(name)
    return None


if __name__ == "__main__":
    run_as_process(main, brief=True)
