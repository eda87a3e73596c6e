"""Settings of a run as frozen values, one module per group of conf; no torch."""
