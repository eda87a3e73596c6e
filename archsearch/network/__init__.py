"""The plan as a torch module: assembled and initialised."""
