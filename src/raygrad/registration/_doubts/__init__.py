"""What speaks against a result: rivals of a pose that converged, and what would help where nothing matched."""
