"""`python -m archsearch.show`: a design's layers, costs, receptive fields and limits; no torch, no data.

    python -m archsearch.show block=dilated              tables
    python -m archsearch.show arch=assignment --json     the same as JSON
    python -m archsearch.show plot=FILE.png              a picture of the design
    python -m archsearch.show augment=strong samples=FILE.png   augmented training images
    python -m archsearch.show erf=RUN_DIR                effective receptive field of a trained network
    python -m archsearch.show card=RUN_DIR               its report card (augment=NAME: with another augmentation)

Exit code 2 if a limit is broken.
"""

from collections.abc import Sequence

from archsearch.process import run_as_process

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments`; return the exit code."""
    from archsearch.cli.show import main as command  # imported here: signals are handled by now

    return command(arguments)


if __name__ == "__main__":
    run_as_process(main, brief=True)
