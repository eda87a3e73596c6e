"""The report of a study: one HTML page that needs neither a network nor a folder beside it."""
