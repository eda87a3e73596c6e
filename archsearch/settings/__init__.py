"""Settings of a run as frozen dataclasses, one module per group of conf; no torch."""
