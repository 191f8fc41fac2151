"""What holds.py tries: damaged files, and processes that are disturbed."""

import unet  # noqa: F401, before OpenCV, as in the scripts: it is silent then
