"""Scripted streams, and what the default policy reaches on them."""
