"""The study database: opened, written, read and examined. The only package that knows the tables of Optuna."""
