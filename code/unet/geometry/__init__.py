"""Floor 3: masks, instances and polygons; arrays in, arrays out."""
