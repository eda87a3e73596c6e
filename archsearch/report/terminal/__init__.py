"""Studies and designs on a terminal: tables, lines, sparklines."""
