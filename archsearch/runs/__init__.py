"""Runs: one experiment trained and recorded, its files, and the trained network loaded again."""
