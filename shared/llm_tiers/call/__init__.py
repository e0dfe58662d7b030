"""What is said of one call: what is asked, what is answered, and what the flow asks its driver for."""
