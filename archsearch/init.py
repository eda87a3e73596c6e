"""`python -m archsearch.init`: writes a folder with a block, a network, limits and a space of your own.

python -m archsearch.init            into my_conf
python -m archsearch.init FOLDER
"""

from collections.abc import Sequence

from archsearch.process import run_as_process

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments`; return the exit code."""
    from archsearch.cli.init import main as command  # imported here: signals are handled by now

    return command(arguments)


if __name__ == "__main__":
    run_as_process(main, brief=True)
