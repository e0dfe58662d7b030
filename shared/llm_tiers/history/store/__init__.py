"""What speaks to Chroma."""
