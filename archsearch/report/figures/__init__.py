"""One description of each figure, and what renders it: SVG markup for pages and files, matplotlib for the rest."""
