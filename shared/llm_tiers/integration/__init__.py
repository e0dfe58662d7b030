"""What the models of both frameworks need."""
