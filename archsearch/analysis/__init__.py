"""Analysis of a plan: footprint, traits, limits; arithmetic only, no torch."""
