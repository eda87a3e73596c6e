"""The commands `run`, `show`, `study` and `init`, their use of Hydra, and their messages.

This file imports nothing, so that `run --help` and `show` start fast.
"""
