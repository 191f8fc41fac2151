"""Floor 5: what is wrong with a data set."""
