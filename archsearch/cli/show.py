"""The command `show`: a design's layers, costs, receptive fields and limits, without torch and without data.

The code for drawings, for the import of a torch module and for finished runs is imported when it is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

from archsearch.cli.help import groups_text, version_text
from archsearch.cli.messages import exit_code
from archsearch.cli.passwords import hidden
from archsearch.config_files import ConfigSources
from archsearch.decode import suggest
from archsearch.errors import SpecError
from archsearch.formatting import percent, pluralize, printable
from archsearch.overrides import assign, key_of, text_of

if TYPE_CHECKING:
    from archsearch.analysis.check import Checked
    from archsearch.importer.from_module import Imported

SHOWS = ("plot", "samples", "erf", "card", "module", "module_args", "weights", "design")
"""Keys that `show` accepts in addition to the overrides of `run`."""
_NEEDS = {
    "erf": ("needs a folder", "Write erf=RUN_DIR."),
    "card": ("needs a folder", "Write card=RUN_DIR."),
    "design": ("needs a file", "Write design=FILE.yaml."),
    "module": ("needs a file or package, and a name", "Write module=FILE.py:CLASS."),
    "weights": ("needs a file", "Write weights=FILE.safetensors, or weights=FILE.pth."),
    "module_args": ("needs a mapping", "Write module_args={num_classes: 10}."),
}
"""The error of a key without a value, and the fix."""
_EPILOG = """\
Overrides are those of archsearch.run, and:
  plot=FILE.png      draw the design
  samples=FILE.png   draw augmented training images; augment=NAME selects the augmentation
  erf=RUN_DIR        draw the effective receptive field of a trained network (plot=FILE.png: to another file)
  card=RUN_DIR       draw the report card of a trained network (augment=NAME: with another augmentation)
  design=FILE.yaml   write the design, for arch=FILE.yaml
  module=FILE.py:CLASS or PACKAGE.MODULE:FUNCTION
                     import a torch module as the design; this runs its code
  module_args={num_classes: 10}
                     arguments for the class or function
  weights=FILE.safetensors or FILE.pth
                     weights of the module; design=FILE.yaml also writes them to FILE.safetensors, for train.weights=

The exit code is 2 if a limit is broken.
"""


class _Parser(argparse.ArgumentParser):
    def format_help(self) -> str:
        """Return the help with the groups and their options."""
        return f"{super().format_help()}\nGroups (choose one of each: group=option):\n\n{groups_text()}\n"

    def error(self, message: str) -> NoReturn:
        """Report wrong arguments without their control characters, and end the command."""
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
        if "." not in key and key not in top_keys() and (close := suggest(key, SHOWS)).startswith("Did"):
            raise SpecError(key, "unknown key", close)
    files = {key: Path(text) for key, text in places.items() if text is not None}
    if run_dir := files.get("erf"):
        return _show_field(run_dir, files.get("plot"))
    if run_dir := files.get("card"):
        return _show_card(run_dir, files.get("plot"), overrides, sources)
    if file := files.get("samples"):
        return _show_samples(file, overrides, sources)
    written = files.get("design")
    if written is not None and written.exists():
        raise SpecError("design", f"{written} exists", "Name another file, or remove it.")
    reference, arguments = places["module"], places["module_args"]
    if reference is None:
        for key in ("module_args", "weights"):
            if places[key] is not None:
                raise SpecError(key, "needs a module", "Write module=FILE.py:CLASS.")
        return _show_design(overrides, sources, as_json=options.json, plot=files.get("plot"), written=written)
    weights = files.get("weights")
    if weights is not None and written is not None and (beside := written.with_suffix(".safetensors")).exists():
        raise SpecError("design", f"{beside} exists", "Name another file, or remove it.")
    imported = _imported(reference, arguments or "{}", weights, overrides, sources)
    with TemporaryDirectory() as folder:  # a file for arch=FILE.yaml, so that overrides can change the design
        file = Path(folder, "module.yaml")
        file.write_text(_design_yaml(imported.design.source, reference), encoding="utf-8")
        overrides.append(assign("arch", str(file)))
        return _show_design(
            overrides,
            sources,
            as_json=options.json,
            plot=files.get("plot"),
            written=written,
            imported=(reference, imported),
            weights=weights is not None,
        )


def _write_weights(imported: Imported, file: Path) -> None:
    from archsearch.network.weights import encode_weights
    from archsearch.training.storage import write_whole

    write_whole(file, encode_weights(imported.weights))
    print(printable(f"weights: {file}"), file=sys.stderr)


def _imported(
    reference: str, arguments: str, weights: Path | None, overrides: list[str], sources: ConfigSources
) -> Imported:
    """Return the import of a module for images of the shape that `overrides` select; its output goes to stderr."""
    from archsearch.cli.compose import compose_tree
    from archsearch.design.spec import decode_input
    from archsearch.importer.from_module import from_module
    from archsearch.importer.load_module import load_module
    from archsearch.network.weights import load_weights

    for override in overrides:
        if key_of(override) == "arch":
            raise SpecError("arch", "module= gives the design already", f"Leave out {override}, or module=.")
    shape = decode_input(compose_tree(overrides, sources)[0]["arch"]["input"], "arch.input")
    with contextlib.redirect_stdout(sys.stderr):
        network = load_module(reference, _arguments(arguments))
        if weights is not None:
            load_weights(network, weights, "weights")
        return from_module(network, shape, name=reference.rpartition(":")[2])


def _arguments(text: str) -> dict[str, Any]:
    """Return the mapping that `text`, the value of `module_args` in Hydra's grammar, contains."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        found = OverridesParser.create().parse_override(f"module_args={text}").value()
    except HydraException:
        found = None
    if not isinstance(found, dict):
        raise SpecError("module_args", f"must be a mapping, got {text}", "Write module_args={num_classes: 10}.")
    return {str(key): value for key, value in found.items()}


def _design_yaml(source: Any, of: str) -> str:
    """Return a design as YAML, with comments on how to use it and on its origin `of`."""
    import yaml

    head = f"# python -m archsearch.run arch=FILE.yaml\n# The design of {printable(of)}.\n"
    return head + yaml.safe_dump(source, sort_keys=False, default_flow_style=None, width=120)


def _show_design(
    overrides: list[str],
    sources: ConfigSources,
    *,
    as_json: bool,
    plot: Path | None,
    written: Path | None = None,
    imported: tuple[str, Imported] | None = None,
    weights: bool = False,
) -> int:
    from archsearch.analysis.check import check_design
    from archsearch.cli.compose import compose_tree
    from archsearch.notices import notice_once
    from archsearch.report.terminal.design import design_record, design_text
    from archsearch.runs.seconds import predictor_of
    from archsearch.settings.experiment import decode_experiment

    tree, blocks = compose_tree(overrides, sources)
    experiment = decode_experiment(tree, blocks)
    checked = check_design(experiment.design, experiment.limits, blocks, predictor_of(experiment))
    for notice in checked.notices:
        notice_once(notice)
    if plot:
        from archsearch.report.figures.design import draw_design

        draw_design(checked, plot)
        print(printable(f"drawing: {plot}"), file=sys.stderr)
    if written:
        if imported is not None and weights:
            _require_same_network(checked, imported[1])
        _write_design(checked, written, of=checked.design.name if imported is None else imported[0])
        if imported is not None and weights:
            _write_weights(imported[1], written.with_suffix(".safetensors"))
    if as_json:
        print(json.dumps({**design_record(checked), **({} if imported is None else _import_record(*imported))}))
    else:
        plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        if imported is not None:
            print(printable(_import_text(*imported)))
        sys.stdout.write(design_text(checked, styled=not plain))
    sys.stdout.flush()  # here a closed pipe is not an error
    return 0 if checked.kept else 2


def _require_same_network(checked: Checked, imported: Imported) -> None:
    from archsearch.design.lower import lower
    from archsearch.design.plan import design_id

    if checked.design_id != design_id(lower(imported.design)):
        what = "the weights of the module do not fit the design, which overrides have changed"
        raise SpecError("weights", what, "Leave those overrides out, or weights=.")


def _write_design(checked: Checked, file: Path, of: str) -> None:
    from archsearch.design.spec import self_contained
    from archsearch.training.storage import write_whole

    write_whole(file, _design_yaml(_without_defaults(self_contained(checked.design)), of).encode())
    print(printable(f"design: {file}"), file=sys.stderr)


def _without_defaults(design: dict[str, Any]) -> dict[str, Any]:
    """Return a design without keys at their default values, so that it is easier to read."""
    stages = {name: _less(stage, "repeats", 1) for name, stage in design["stages"].items()}
    return _without_empty_names(_less(_less({**design, "stages": stages}, "stem", None), "width", 1.0))


def _less(mapping: dict[str, Any], key: str, default: Any) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if (name, value) != (key, default)}


def _without_empty_names(source: Any) -> Any:
    """Return `source` without the empty names of blocks."""
    if isinstance(source, dict):
        own = _less(source, "name", "") if "layers" in source else source
        return {key: _without_empty_names(value) for key, value in own.items()}
    return [_without_empty_names(value) for value in source] if isinstance(source, list) else source


def _import_record(reference: str, imported: Imported) -> dict[str, Any]:
    """Return the part of the `--json` output on an import; the design has the module's parameters and MACs."""
    return {
        "import": {
            "module": reference,
            "parameters": imported.parameters,
            "macs": imported.macs,
            "logits_difference": imported.difference,
            "notes": list(imported.notes),
        }
    }


def _import_text(reference: str, imported: Imported) -> str:
    """Return the lines about an import that `show` prints before the design."""
    return "\n".join(
        [f"imported {reference}: {imported.comparison}", *(f"note: {note}" for note in imported.notes), ""]
    )


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
    if overrides:  # an augmentation other than the run's own
        policy = decode_policy(compose_tree(overrides, sources)[0].get("augment", {}))
    card, file = renew_card(run_dir, plot, policy=policy)
    figures = f"accuracy {percent(card.accuracy)}, calibration error {percent(card.calibration_error, 1)}"
    print(printable(f"{pluralize(card.images, f'{card.split} image')}, {figures}"))
    print(printable(f"report card: {file}"), file=sys.stderr)
    return 0


def _taken_out(overrides: list[str], key: str) -> str | None:
    """Remove `key=TEXT` from `overrides` and return the text; None if there is none."""
    for override in overrides:
        if not override.startswith(f"{key}="):
            continue
        overrides.remove(override)
        if not (name := text_of(override)):
            raise SpecError(key, *_NEEDS.get(key, ("needs a file", f"Write {key}=FILE.png.")))
        return name
    return None
