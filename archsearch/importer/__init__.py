"""A torch module as a design: traced, written, compared with the original; and modules by name."""
