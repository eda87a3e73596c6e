"""Runs: one experiment carried out, its files, and a trained network given back."""
