"""Draw the pictures of README and docs: `make pictures`, or `python benchmarks/pictures.py --out docs/images`.

A design, a rejected design with its fixes, the live view and the charts of the shipped study, and every shipped block
are SVG files with the same bytes on every run. `--report` also takes a screenshot of the report page, which needs
Chromium. Without `--out`, only names and sizes are printed.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from archsearch.analysis.check import Checked, check_design
from archsearch.analysis.limits import decode_limits
from archsearch.config_files import block_lookup, config_folder, option_file, options_of, read_yaml
from archsearch.design.lower import lower_block, with_options
from archsearch.design.spec import BlockReader
from archsearch.formatting import value_text
from archsearch.library import load_design
from archsearch.report.figures.block import block_drawing
from archsearch.report.figures.charts import sheet
from archsearch.report.figures.design import design_drawing
from archsearch.report.figures.drawing import Drawing
from archsearch.report.figures.render import document
from archsearch.report.figures.screen import screen
from archsearch.report.figures.study import study_figures
from archsearch.report.terminal.design import design_text
from archsearch.search.progress import BAR, Event, ProgressView, make_display
from archsearch.search.storage.read import StudyRead
from archsearch.search.storage.reader import open_reader
from archsearch.search.trial_runner import TrialEnd

HERE = Path(__file__).resolve().parents[1]
STUDY = HERE / "outputs" / "examples" / "studies.db"
REPORT = "report.png"
LIMITS = "advanced_convolution"
BLOCKS = block_lookup([config_folder()])
TRIALS = 400  # requested by the search of the shipped study
CHANNELS = 32  # input and output channels of a block
WIDER = {"dense_layer": 44, "dense_transition": 16}  # output channels of blocks that determine them


def main() -> None:
    """Write the pictures, or list them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--report", action="store_true", help="also take a screenshot of the report page")
    given = parser.parse_args()
    for name, text in drawn():
        if given.out is not None:
            file = given.out / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        print(f"{name}  {len(text.encode()):,} bytes")
    if given.report and given.out is not None:
        photograph_report(given.out / REPORT)


def drawn() -> Iterator[tuple[str, str]]:
    """Yield the name and the SVG text of every drawing."""
    study = open_reader(f"sqlite:///{STUDY}").study(None)
    yield "design.svg", document(design_drawing(checked("c1c2c3c4", "dilated")))
    yield "design_mobilenet_v2.svg", document(design_drawing(checked("mobilenet_v2", "normal")))
    yield "rejected.svg", document(rejected())
    yield "search.svg", document(search(study))
    for name, figure in study_figures(study, {}).items():
        if name in ("pareto", "curves"):
            yield f"{name}.svg", document(sheet(figure))
    for name in options_of("block"):
        yield f"blocks/{name}.svg", document(block(name))


def checked(name: str, block_name: str) -> Checked:
    """Return a shipped design, checked against the assignment's limits."""
    limits = decode_limits(read_yaml(option_file("constraints", LIMITS)))
    return check_design(load_design(name, block=block_name), limits, BLOCKS)


def rejected() -> Drawing:
    """Return the end of the output of `show arch=resnet20`."""
    lines = design_text(checked("resnet20", "normal"), styled=False).splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith(("kept", "BROKEN")))
    shown = ["$ python -m archsearch.show arch=resnet20", "...", *lines[first:]]
    return screen(shown, f"A rejected design and its fixes: {'; '.join(' '.join(line.split()) for line in shown)}")


def search(study: StudyRead) -> Drawing:
    """Return the live view of the shipped study as it was during its last trial."""
    out, now = io.StringIO(), [0.0]
    display = make_display(out)
    view = ProgressView(TRIALS, study.objectives, study.directions, display=display, clock=lambda: now[0])
    *ended, last = study.trials
    for trial in ended:
        now[0] += trial.seconds or 0.0
        rung = None if trial.rung is None else int(trial.rung)
        end = TrialEnd(number=trial.number, state="complete", values=tuple(trial.values or ()), rung=rung)
        view(Event(kind="ended", number=trial.number, end=end))
    bar = "━" * round(BAR * len(ended) / TRIALS)
    epoch, accuracy = next(iter(last.history.items()))
    training = f"trial {last.number}, epoch {epoch}/{max(last.history)}, accuracy {value_text('accuracy', accuracy)}"
    lines = [
        "$ python -m archsearch.run -m experiment=brisk space=brisk 'study.rungs=[3,10]' study.trials=400 ...",
        *out.getvalue().splitlines()[-6:],
        f"{bar}{'─' * (BAR - len(bar))} {view.status()}",
        f"  worker 0: {training}",
    ]
    return screen(lines, f"The live view of a search: {'; '.join(lines)}")


def block(name: str) -> Drawing:
    """Return the figure of a shipped block with its defaults, for a feature map of 32 channels."""
    spec = BlockReader(BLOCKS).read(name, name)
    return block_drawing(lower_block(with_options(spec), CHANNELS, WIDER.get(name, CHANNELS)), name)


def photograph_report(file: Path, out: TextIO = sys.stderr) -> None:
    """Write a Chromium screenshot of the top of the shipped study's report."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print(f"{file.name}: skipped, Chromium not found", file=out)
        return
    from PIL import Image

    from archsearch.report.html.page import write_report

    with tempfile.TemporaryDirectory() as folder:
        page, shot = Path(folder, "report.html"), Path(folder, "report.png")
        write_report(open_reader(f"sqlite:///{STUDY}").study(None), page)
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                 "--hide-scrollbars", f"--user-data-dir={folder}/profile", "--window-size=1180,880"]  # fmt: skip
        subprocess.run([chromium, *flags, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True)
        with Image.open(shot) as image:
            image.convert("RGB").quantize(64).save(file, optimize=True)
    print(f"{file.name}  {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
