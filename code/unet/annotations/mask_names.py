"""Masks that are called after their images, with a prefix or a suffix."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from unet.files.errors import DataError, printable
from unet.files.folders import IMAGE_ENDINGS
from unet.files.names import same

_NAME = "{name}"


@dataclass(frozen=True)
class MaskName:
    """How masks are called: ``prefix``, the image's name, ``suffix``.

    >>> MaskName.parse("{name}_mask").image("north_17_mask")
    'north_17'
    >>> print(MaskName("label_"))
    label_{name}
    """

    prefix: str = ""
    suffix: str = ""

    @classmethod
    def parse(cls, text):
        """From ``{name}_label``.

        Raises:
            DataError: ``{name}`` is not in it, or a file's ending is.
        """
        ends = text.lower().endswith(IMAGE_ENDINGS)
        if text.count(_NAME) != 1 or set(text) & set("/\\") or ends:
            raise DataError(
                f"mask name {text}: expected {_NAME} once, where the image's "
                "name stands, without directory and ending, such as "
                f"{_NAME}_label."
            )
        return cls(*map(same, text.split(_NAME)))

    def __str__(self):
        return self.of(_NAME)

    def of(self, image):
        """What the mask of an image is called, without its ending."""
        return f"{self.prefix}{image}{self.suffix}"

    def image(self, stem):
        """The name of a mask's image; None if no mask is called so."""
        name = stem.removeprefix(self.prefix).removesuffix(self.suffix)
        return name if name and self.of(name) == stem else None


@dataclass(frozen=True)
class NamedMasks:
    """Which files are images, which annotate, and whose the masks are.

    Attributes:
        images: dict from a name to paths, without the masks.
        files: annotation files, masks too, without the images.
        owners: dict from a mask to the name of its image, of masks that are
            called by ``mask_name``.
        mask_name: how these are called, or None.
    """

    images: dict[str, list[Path]]
    files: list[Path]
    owners: dict[Path, str]
    mask_name: MaskName | None = None


def name_masks(images, files, rules):
    """Tell masks from images that lie beside them, and whose they are.

    Masks are called like their images, or all of them with one prefix or
    suffix more, of letters and a sign between that is none.

    Args:
        images: of ``unet.annotations.images.find_images``.
        files: annotation files; images may be among them. If nothing else is,
            some of them are masks.
        rules: ``Rules``, which may say how masks are called.

    Returns:
        ``NamedMasks``.

    Raises:
        DataError: a mask fits two images, the masks share no prefix or
            suffix, or none is called as the rules say.
    """
    own = {path for paths in images.values() for path in paths}
    others = [path for path in files if path not in own]
    told = rules.mask_name
    stems = {
        path: same(path.stem)
        for path in (files if told or not others else others)
        if path.suffix.lower() in IMAGE_ENDINGS
    }
    mask_name = told or _shared(stems, own, images, rules)
    if mask_name is None:
        return NamedMasks(images, others, {})
    owners = {path: mask_name.image(stem) for path, stem in stems.items()}
    owners = {
        path: image
        for path, image in owners.items()
        if image
        and (path not in own or (image in images and image != stems[path]))
    }
    if told and stems and not owners:
        raise DataError(
            f"{next(iter(stems))}: expected masks that are called {told}, "
            f"found none among {len(stems)} files. "
            + rules.advice("Rename them", ", or correct --mask-name")
        )
    left = {
        name: [path for path in paths if path not in owners]
        for name, paths in images.items()
    }
    return NamedMasks(
        {name: paths for name, paths in left.items() if paths},
        # Where the user says what a mask is called, others are none.
        [
            path
            for path in files
            if path in owners
            or (path not in own and not (told and path in stems))
        ],
        owners,
        mask_name,
    )


def _shared(stems, own, images, rules):
    """The ``MaskName`` of all masks; None if they are called like images.

    Args:
        stems: dict from a path to its name without ending.
        own: set of paths of the images.
        images, rules: see ``name_masks``.
    """
    if any(stem in images for path, stem in stems.items() if path not in own):
        return None
    fits = {path: _fits(stem, images) for path, stem in stems.items()}
    counts = Counter(fit for path in fits for fit in fits[path])
    if not counts:
        return None
    # Of two for the same masks the one with the longer image's name.
    ranked = sorted(counts, key=lambda fit: (-counts[fit], len(str(fit))))
    best, *others = ranked
    if others and counts[others[0]] == counts[best]:
        _refuse(fits, best, others[0], rules)
    for path, known in fits.items():
        # An image may be called like another one with a suffix.
        is_image = path in own and best.of(stems[path]) in images
        if known and best not in known and not is_image:
            _refuse({path: known}, best, known[0], rules)
    return best


def _fits(stem, images):
    """List of every ``MaskName`` by which a mask is that of an image.

    A number alone, as in a_1 and a_2, tells images apart and no masks.
    """
    cuts = [(stem[:k], stem[k:]) for k in range(1, len(stem))]
    return [
        *(
            MaskName(suffix=end)
            for start, end in cuts
            if start in images and not end[0].isalnum() and _has_letter(end)
        ),
        *(
            MaskName(prefix=start)
            for start, end in cuts
            if end in images and not start[-1].isalnum() and _has_letter(start)
        ),
    ]


def _has_letter(text):
    return any(map(str.isalpha, text))


def _refuse(fits, best, other, rules):
    """Raise DataError for masks that two ``MaskName`` fit equally well."""
    both = [path for path, known in fits.items() if {best, other} <= {*known}]
    path = next(iter(both or (p for p in fits if other in fits[p])))
    stem = same(path.stem)
    sentence = (
        f"expected masks that are all called {best}, found one called {other}"
    )
    if both:
        sentence = (
            f"expected the mask of one image, found that it fits two, "
            f"{best.image(stem)} by {best} and {other.image(stem)} by {other}"
        )
    advice = rules.advice(
        "Rename it", ", or say how masks are called with --mask-name"
    )
    raise DataError(printable(f"{path}: {sentence}. {advice}"))
