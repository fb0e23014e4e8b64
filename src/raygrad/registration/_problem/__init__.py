"""What a registration compares and moves: one least-squares problem."""
