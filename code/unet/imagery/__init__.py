"""Floor 2: pixels from and to files."""
