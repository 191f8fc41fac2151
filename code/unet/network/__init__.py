"""Floor 2: the network in Keras, its losses, and the file it is kept in."""
