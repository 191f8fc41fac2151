"""Images that a tool renamed when they were uploaded to it."""

import re

from unet.annotations.repairs import Repair
from unet.files.names import same

# Label Studio puts eight hexadecimal digits in front of a file's name.
_PREFIX = re.compile(r"[0-9a-f]{8}-(?=.)")


def without_prefixes(annotations, images):
    """Annotations by the names of images, as files or uploads are called.

    ``a1b2c3d4-roof_1`` is for the image ``roof_1`` or ``roof 1``, where there
    is none of the whole name: Label Studio writes _ for a blank, and leaves
    out what is no letter, digit, dot or hyphen.

    Args:
        annotations: dict from name to ``Annotation``; ``file`` is corrected.
        images: of ``unet.annotations.pairing.find_images``.

    Yields:
        (name, ``Annotation``).
    """
    uploads = None
    for said, annotation in annotations.items():
        name = same(said)
        prefix = _PREFIX.match(name)
        if prefix and name not in images:
            uploads = uploads or _uploads(images)
            short = name[prefix.end() :]
            image = short if short in images else uploads.get(short)
            if image:
                name = image
                annotation.repairs[Repair.UPLOADED] += 1
                # The ending tells images of one name apart.
                if annotation.file:
                    annotation.file = annotation.file[prefix.end() :]
        yield name, annotation


def _uploads(images):
    """Images by what Label Studio makes of their names; None: several."""
    uploads = {}
    for name in images:
        known = re.sub(r"[^-\w.]", "", name.replace(" ", "_"))
        uploads[known] = None if known in uploads else name
    return uploads
