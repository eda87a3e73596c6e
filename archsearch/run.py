"""`python -m archsearch.run`: checks, builds, trains and evaluates one design, or with `-m` many."""

from collections.abc import Sequence

from archsearch.process import run_as_process

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments`; return the exit code."""
    from archsearch.cli.run import main as command  # imported here: signals are handled by now

    return command(arguments)


if __name__ == "__main__":
    run_as_process(main)
