"""The methods, one a file, what they share, and the registry of their names."""
