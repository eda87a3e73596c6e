"""Hydra's sweeper over `archsearch.search`; it must lie in the package `hydra_plugins`, Hydra takes no other."""
