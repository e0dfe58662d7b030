"""Scripted streams, and what the default comes to on them."""
