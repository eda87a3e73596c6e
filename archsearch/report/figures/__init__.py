"""Figures, each described once, and their renderers: SVG markup for pages and files, matplotlib for PNG and PDF."""
