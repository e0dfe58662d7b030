"""Opening the files that a user names."""
