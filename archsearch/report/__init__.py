"""Studies, trainings and designs for people: figures, the page, the terminal, and exports."""
