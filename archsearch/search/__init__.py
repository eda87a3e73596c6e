"""The search: designs proposed, checked, deduplicated, trained by whoever is free, and told to the study.

The only room that imports optuna (always inside functions); knows nothing of hydra.
"""
