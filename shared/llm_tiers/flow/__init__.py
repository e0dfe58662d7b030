"""What runs a call."""
