"""Where designs come from: the samplers, one module each, and the factory that makes the one that is asked for."""
