"""Runs: training and recording of one experiment, its files, and loading of the trained network."""
