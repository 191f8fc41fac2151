"""Floor 4: one module a format, reader and writer together."""
