"""Analysis of a plan: footprint, traits, limits; pure arithmetic, without torch."""
