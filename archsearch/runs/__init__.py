"""Runs: one experiment trained and recorded, its files, and loading of the trained network."""
