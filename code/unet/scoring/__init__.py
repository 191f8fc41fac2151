"""Floor 4: from counts to scores."""
