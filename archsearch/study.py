"""`python -m archsearch.study`: lists, explains, plots, exports and fixes studies.

    python -m archsearch.study ls                       the studies, their trials and best values
    python -m archsearch.study show STUDY               the leaderboard
    python -m archsearch.study best STUDY               the best design, its limits, the command that trains it again
    python -m archsearch.study trial STUDY 7            one trial in full
    python -m archsearch.study compare 7 12             two trials side by side

STUDY can be omitted if there is only one.
"""

from collections.abc import Sequence

from archsearch.process import run_as_process

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments`; return the exit code."""
    from archsearch.cli.study import main as command  # imported here: signals are handled by now

    return command(arguments)


if __name__ == "__main__":
    run_as_process(main, brief=True)
