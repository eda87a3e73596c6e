"""The samplers, which propose designs: a module for each, and the factory that creates the selected one."""
