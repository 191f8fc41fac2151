"""What no image exceeds."""

# OpenCV's own bound for one image.
MOST_PIXELS = 2**30
