"""`python -m archsearch`, and the console script `archsearch`: lists the commands, or starts one of them."""

from archsearch.cli.main import start

if __name__ == "__main__":
    start()
