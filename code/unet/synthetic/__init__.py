"""Floor 5: drawn scenes for the sample."""
