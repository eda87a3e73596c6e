"""The samplers, which propose designs: one module each, and the factory that makes the chosen one."""
