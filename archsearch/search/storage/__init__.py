"""Open, write, read and examine the study database. Only this package accesses Optuna's tables."""
