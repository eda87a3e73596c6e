"""The design language: YAML mappings in, plans of primitive layers out; no torch."""
