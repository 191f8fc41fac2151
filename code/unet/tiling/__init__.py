"""Floor 5: scenes and what is known of them, cut into tiles."""
