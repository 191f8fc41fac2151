"""What reading and drawing annotations mends, or leaves out."""

from enum import StrEnum

from unet.files.folders import DEFAULT_CLASS


class Repair(StrEnum):
    """The kinds of repair, each as the sentence that is printed.

    ``Annotation.repairs`` counts them. A repair that names files is counted
    by a sentence of its own, which is none of these.
    """

    OPEN_RING = "open ring closed"
    STRAY_POINT = "stray point dropped"
    REPEATED_POINT = "repeated point dropped"
    SHORT_RING = "ring of fewer than three points left out"
    NO_AREA = "line or point left out"
    UNKNOWN_SHAPE = "shape of unknown kind left out"
    ONLY_BOX = "box used, there is no polygon"
    CROWD = "crowd ignored, as nobody counted its objects"
    EARLIER = "annotation left out, a later one of its image is used"
    UPLOADED = "image found by its name without the prefix of an upload"
    OUTSIDE = "polygon outside its image left out"
    OUTSIDE_ALL = "polygon outside all images left out"
    NO_PIXEL = "polygon that covers no pixel's centre left out"
    CUT = "polygon cut at the border of its image"
    CROSSING = "polygon that crosses or touches itself filled as drawn"
    NAMELESS = f"object without a class taken for {DEFAULT_CLASS}"
    VANISHED = "image of which no object is left taken for empty"
    NO_FEATURE = (
        "image among the annotated ones without a feature, taken for empty"
    )
