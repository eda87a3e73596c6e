"""Prediction of training times from the plan of a design, by a model of the machine's step times."""
