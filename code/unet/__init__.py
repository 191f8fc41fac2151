"""U-Net on your own images and annotations: the library behind the scripts.

Rooms lie on floors, and imports go down a floor, never up and never across:

6 terminal
5 inspection, prediction, synthetic
4 annotations, training, scoring, pictures
3 geometry
2 imagery, network
1 files
"""

import os

__version__ = "0.1.0"

# Set here because every import of the library passes through this file before
# TensorFlow or OpenCV is imported: afterwards it is too late to be quiet.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# What OpenCV says of a damaged file we say in one line that names it.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
# GDAL's own default is a twentieth of the machine's memory.
os.environ.setdefault("GDAL_CACHEMAX", "64")
