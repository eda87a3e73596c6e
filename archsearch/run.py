"""`python -m archsearch.run`: checks, builds, trains and evaluates one design, or with `-m` many."""

from archsearch.cli.run import main
from archsearch.process import run_as_process

__all__ = ["main"]

if __name__ == "__main__":
    run_as_process(main)
