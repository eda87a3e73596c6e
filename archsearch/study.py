"""`python -m archsearch.study`: the study database listed, explained, drawn, exported and fixed.

    python -m archsearch.study ls                       the studies, their trials and their best
    python -m archsearch.study show STUDY               the leaderboard
    python -m archsearch.study best STUDY               the best design, its limits, the command that trains it again
    python -m archsearch.study trial STUDY 7            everything about one trial
    python -m archsearch.study compare 7 12             two trials side by side

STUDY may be left out where there is only one.
"""

from archsearch.cli.study import main
from archsearch.process import run_as_process

__all__ = ["main"]

if __name__ == "__main__":
    run_as_process(main, brief=True)
