"""Import of a torch module as a design: loaded by name, traced, written and compared with the original."""
