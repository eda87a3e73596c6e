"""The search: designs are proposed, checked, deduplicated, trained by free workers, and recorded in the study.

The only package that imports optuna (always inside functions); it imports no hydra.
"""
