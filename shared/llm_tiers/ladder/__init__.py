"""Who can answer, and what it costs."""
