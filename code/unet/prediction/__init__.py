"""Floor 5: images and scenes to masks, objects and layers."""
