"""Floor 4: from arrays to PNG."""
