"""Hydra's sweeper over `archsearch.search`. Hydra accepts sweepers from the package `hydra_plugins` alone."""
