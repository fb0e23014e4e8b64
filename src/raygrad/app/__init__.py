"""What the commands do: load, call, save. No algorithms."""
