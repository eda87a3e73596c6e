"""The Hydra sweeper for `archsearch.search`. Hydra only accepts sweepers from the package `hydra_plugins`."""
