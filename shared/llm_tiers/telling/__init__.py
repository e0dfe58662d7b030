"""Calls and figures in plain words: what a reader sees in a terminal, on a page and in a notebook."""
