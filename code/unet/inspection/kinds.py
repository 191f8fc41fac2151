"""The kinds of defect that a data set can have."""

from dataclasses import dataclass

from unet.files.folders import IMAGE_ENDINGS


@dataclass(frozen=True)
class Kind:
    """A kind of defect.

    Attributes:
        key: its stable name, in tables and tests.
        title: what it is, in the plural.
        why: what it does to a training.
        mend: what to do about it.
        fixed: whether ``unet.inspection.mending`` does it.
    """

    key: str
    title: str
    why: str
    mend: str
    fixed: bool = False


_KINDS = (
    # Files ------------------------------------------------------------------
    Kind(
        "no-image",
        "annotations without an image",
        "nothing can be learnt from masks alone, and the scripts refuse or "
        "skip them",
        "Add the image, or remove the annotation.",
    ),
    Kind(
        "several-images",
        "more than one image where one belongs",
        "nobody can know to which of them the masks belong",
        "Keep one image in each folder, and one of each name.",
    ),
    Kind(
        "no-masks",
        "images without annotation among annotated ones",
        "they are not trained on; if somebody looked and found nothing, true "
        "negatives are lost",
        "Annotate it; where there is nothing make an empty masks/ folder, or "
        "write [] as its annotation.",
    ),
    Kind(
        "nothing-labelled",
        "sets without any object",
        "there is nothing to learn",
        "Annotate some images, or check the path of the annotations.",
    ),
    Kind(
        "ignored",
        "images of which every pixel is ignored",
        "there is nothing to learn from them, and nothing to score",
        "Label a part of the image, or remove it.",
    ),
    Kind(
        "mixed-masks",
        "masks both loose and in class folders",
        "the class of the loose ones is unknown, so the scripts refuse the "
        "whole tree",
        "Move the loose masks into a class folder.",
    ),
    Kind(
        "wrong-name",
        "files called like another folder",
        "a mask under a foreign image teaches the opposite of the truth",
        "Move the file to the folder it is named after, or rename it.",
    ),
    Kind(
        "ignored-file",
        "files that no script reads",
        "an object or an image that you count on is silently missing",
        f"Export it as PNG (read are {' '.join(IMAGE_ENDINGS)}), or remove it.",
    ),
    Kind(
        "empty-file",
        "files of zero bytes",
        "the copy or the export was broken off",
        "Copy or export it again.",
    ),
    Kind(
        "unreadable",
        "files that are no image",
        "the scripts stop there",
        "Open it in a viewer and export it as PNG, or remove it.",
    ),
    Kind(
        "truncated",
        "truncated or damaged images",
        "other tools fill the missing part with grey and train on it",
        "Copy or export it again.",
    ),
    Kind(
        "bad-annotation",
        "annotation files that cannot be understood",
        "their images would pass for unlabelled",
        "Correct or export the file again.",
    ),
    Kind(
        "annotated-twice",
        "images with two annotations",
        "nobody can know which of the two is meant",
        "Keep one of the two, or put both into one file.",
    ),
    # Sizes and orientation --------------------------------------------------
    Kind(
        "size-mismatch",
        "masks of another size than their image",
        "stretched to fit they miss the objects",
        "Export the mask at the image's own size.",
    ),
    Kind(
        "exif",
        "photos that are turned by an EXIF tag only",
        "tools that ignore the tag see another picture than you do",
        "Save the photo upright.",
        fixed=True,
    ),
    Kind(
        "exif-mask",
        "annotations of the unturned photo",
        "the photo is turned as its EXIF tag says, its annotation is not, so "
        "they do not fit",
        "Turn the annotation as well.",
        fixed=True,
    ),
    Kind(
        "odd-size",
        "images whose size is far from the rest",
        "everything is resized to one input: objects become much larger or "
        "smaller than in other images",
        "Cut it into tiles of the usual size, or leave it out.",
    ),
    # Pixels -----------------------------------------------------------------
    Kind(
        "alpha",
        "images with an alpha channel",
        "what is under transparent pixels is invented by each tool anew",
        "Save it without transparency.",
        fixed=True,
    ),
    Kind(
        "grey",
        "grey images among coloured ones",
        "the network learns colours that these do not have",
        "Take the coloured original; stored as RGB it fits at least.",
        fixed=True,
    ),
    Kind(
        "cmyk",
        "CMYK images",
        "each program turns printing inks into other colours",
        "Save it as RGB.",
        fixed=True,
    ),
    Kind(
        "deep",
        "images of more than 8 bits",
        "a training takes images of one depth, 8 or 16 bits: nobody knows "
        "which values of the others are as bright",
        "Save all images of the set with as many bits, on one scale.",
        fixed=True,
    ),
    Kind(
        "float",
        "images of floating-point numbers",
        "their range is unknown: values beyond 0 to 1 are stretched",
        "Scale all images of the set alike and save 8 bits.",
        fixed=True,
    ),
    Kind(
        "bands",
        "images of other bands than the rest",
        "a training takes images with the same bands: a band that one lacks "
        "is nowhere",
        "Export all images with the same bands.",
    ),
    Kind(
        "blank",
        "images of a single colour",
        "there is nothing to see, whatever the mask says",
        "Remove it, or copy the right image.",
    ),
    # Mask files -------------------------------------------------------------
    Kind(
        "jpeg-mask",
        "masks saved as JPEG",
        "compression smears their values, and which of them are the object "
        "is a guess",
        "Export the mask as PNG.",
        fixed=True,
    ),
    Kind(
        "grey-mask",
        "masks with grey values",
        "a mask says yes or no; grey comes from resizing or smoothing",
        "Export it again without smoothing, or read it with "
        "polygon_to_mask.py --threshold 0.5.",
        fixed=True,
    ),
    Kind(
        "colour-mask",
        "masks of several colours",
        "a mask shows one class; which colour is which class is not said",
        "Let polygon_to_mask.py write one mask per class: --colours "
        "3C1098=building,6EC1E4=road.",
    ),
    Kind(
        "class-ids",
        "masks of class ids",
        "a mask shows one class; which number is which class is not said",
        "Let polygon_to_mask.py write one mask per class: --colours "
        "1=building,2=road.",
    ),
    Kind(
        "class-range",
        "objects of an unknown class",
        "an id that no list names is a typing error, or a class that the "
        "network has no output for",
        "Correct the id, or add the class to the file's list.",
    ),
    Kind(
        "zero-one",
        "masks of 0 and 1 (not 255)",
        "they look black in every viewer, and other tools divide them by 255",
        "Multiply by 255.",
        fixed=True,
    ),
    Kind(
        "empty-mask",
        "masks without an object",
        "an instance that covers nothing: it was lost on the way",
        "Draw it again, or remove the file. An empty masks/ folder says that "
        "there is nothing.",
        fixed=True,
    ),
    Kind(
        "full-mask",
        "masks that cover the whole image",
        "an export without the polygons often looks like that",
        "Look at it; if it is wrong draw it again.",
    ),
    Kind(
        "inverted",
        "masks inverted against the rest of the set",
        "background is taught as object and object as background",
        "Invert it (255 minus the mask).",
    ),
    # Objects ----------------------------------------------------------------
    Kind(
        "equal-masks",
        "equal instance masks",
        "one object counts twice",
        "Remove one of the two.",
        fixed=True,
    ),
    Kind(
        "overlap",
        "objects that overlap much",
        "they are merged into one, and the object is counted twice",
        "Keep the better of the two, or cut one back.",
    ),
    Kind(
        "specks",
        "masks with specks",
        "a slip of the brush is taught as an object",
        "Erase them.",
        fixed=True,
    ),
    Kind(
        "polygon-outside",
        "polygons outside their image",
        "they are cut off, and often everything else is shifted as well",
        "Check that this is the image that was annotated.",
        fixed=True,
    ),
    Kind(
        "polygon-crossing",
        "polygons that cross themselves",
        "what is inside differs from tool to tool, loops may become holes",
        "Move the points so that the outline crosses itself nowhere.",
    ),
    Kind(
        "polygon-open",
        "polygons that are not closed",
        "read by another tool the ring takes in the points of the next one",
        "Repeat the first point at the ring's end.",
        fixed=True,
    ),
    Kind(
        "stray-points",
        "points that make no polygon",
        "a click too many, or the rest of an object that was lost",
        "Remove the points, or draw the object again.",
        fixed=True,
    ),
    Kind(
        "left-out",
        "shapes that are no outline",
        "lines, points and unknown shapes are left out, a box covers more "
        "than its object",
        "Draw a polygon round the object.",
    ),
    Kind(
        "polygon-twice",
        "polygons drawn twice",
        "one object counts twice",
        "Remove one of the two.",
        fixed=True,
    ),
    Kind(
        "polygon-tiny",
        "tiny polygons",
        "a slip of the mouse is taught as an object",
        "Remove it.",
        fixed=True,
    ),
    Kind(
        "corner",
        "annotations in the wrong place",
        "x and y are swapped, or the coordinates are of another scale",
        "Export the annotation again with x before y, in pixels of this image.",
    ),
    Kind(
        "shifted",
        "labels beside the edges of the image",
        "the network learns the offset, and every border is blurred",
        "Compare the outlines with the image; if they are off move them or "
        "take the image that was annotated. This is never done for you.",
    ),
    # The set ----------------------------------------------------------------
    Kind(
        "spelling",
        "classes that differ only in case or spaces",
        "they become two classes, each with half of the examples",
        "Write the name alike everywhere.",
        fixed=True,
    ),
    Kind(
        "rare-class",
        "classes far rarer than the rest",
        "a network that never predicts it is right nearly everywhere",
        "Annotate more of it, or leave it out.",
    ),
    Kind(
        "one-sided",
        "classes that only one of train and test has",
        "what was never trained cannot be found, what is not tested has no "
        "score",
        "Split again with code/util/split.py.",
    ),
    Kind(
        "near-copy",
        "images that are nearly the same",
        "they count twice, and a later split puts one on either side",
        "Remove one of the two.",
    ),
    Kind(
        "leak",
        "nearly the same image in train and test",
        "the score is too good: the test image was trained on",
        "Remove one of the two, or split again with code/util/split.py.",
    ),
)
KINDS = {kind.key: kind for kind in _KINDS}
