"""Settings: what a run is asked to do, as frozen values; no torch."""
