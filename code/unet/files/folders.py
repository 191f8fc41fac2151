"""The ``Folder_n`` tree, and files that are never half written.

A sample is a directory ``NAME`` with ``images/NAME.<ext>`` (one image) and
``masks/`` (any number of files, each an instance). No ``masks/`` means
unlabelled; an empty ``masks/`` means "looked at, nothing there". What lies in
``masks/ignore/`` is no class: nobody has labelled these pixels.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from unet.files.errors import DataError
from unet.files.names import check_class_names, same
from unet.files.virtual import is_virtual, path_of

IMAGE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"),
    *(".jp2", ".avif", ".gif", ".hdr", ".img", ".pbm", ".pgm", ".ppm", ".pnm"),
)
# The class of masks that lie directly in masks/, as in the article. Masks in
# masks/<class>/ carry their class in the folder's name.
DEFAULT_CLASS = "building"
BACKGROUND = "background"
# No class: pixels that nobody labelled, and their id among class ids.
IGNORE, UNKNOWN = "ignore", 255
# Beside the folders, or beside train/ and test/: the classes in their order.
CLASSES = "classes.txt"
LIST = ".txt"  # of images
# Into these Ultralytics and others divide images, and labels in the same way.
SIDES = ("train", "val", "valid", "test")


@dataclass(frozen=True)
class Sample:
    """One image with its instance masks.

    Attributes:
        name: the directory's name.
        image: the image file.
        masks: mask files per class, or None when nobody has labelled the
            image. A labelled image without an object has ``{}``.
        ignored: mask files of pixels that nobody labelled.
    """

    name: str
    image: Path
    masks: dict[str, list[Path]] | None
    ignored: tuple[Path, ...] = ()


def natural(text):
    """Sort key that puts ``Folder_2`` before ``Folder_10``."""
    return [
        int(part) if part.isdecimal() else part.lower()
        for part in re.split(r"(\d+)", same(str(text)))
    ]


def list_images(directory):
    """Image files of a directory, naturally sorted; hidden files left out."""
    return sorted(
        (
            path
            for path in Path(directory).iterdir()
            if path.suffix.lower() in IMAGE_ENDINGS
            and not path.name.startswith(".")
            and path.is_file()
        ),
        key=lambda path: natural(path.name),
    )


def sides_below(directory):
    """The directories of one data set's sides below one, as YOLO has them."""
    places = [Path(directory) / name for name in SIDES]
    return [place for place in places if place.is_dir()]


def what_is_there(directory):
    """What a directory holds in place of what was expected, in words."""
    directory = Path(directory)
    if not directory.is_dir():
        return "it is a file"
    images = list_images(directory)
    if images:
        return f"it holds images ({images[0].name})"
    below = sorted(path for path in directory.iterdir() if path.is_dir())
    for place in below:
        if list_images(place):
            return f"images lie in {place}"
    files = sorted(path.name for path in directory.iterdir())
    return f"it holds {files[0]}" if files else "the directory is empty"


def read_sample(directory):
    """Read one sample's file names.

    Args:
        directory: a directory with ``images/`` and perhaps ``masks/``.

    Returns:
        A ``Sample``.

    Raises:
        DataError: not exactly one image, or masks both in ``masks/`` and in
            class folders below it.
    """
    directory = Path(directory)
    place = directory / "images"
    images = list_images(place) if place.is_dir() else []
    if len(images) != 1:
        found = ", ".join(path.name for path in images) or "none"
        raise DataError(
            f"{place}: expected exactly one image "
            f"({' '.join(IMAGE_ENDINGS)}), found {found}. "
            "Keep one image in each folder."
        )
    masks = _read_masks(directory / "masks")
    ignored = masks.pop(IGNORE, []) if masks else []
    return Sample(same(directory.name), images[0], masks, tuple(ignored))


def is_ignored(label):
    """Whether a class's name says that nobody labelled its pixels."""
    return label is not None and same(label).casefold() == IGNORE


def _read_masks(directory):
    if not directory.is_dir():
        return None
    direct = list_images(directory)
    folders = sorted(
        path
        for path in directory.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )
    classes = [path for path in folders if not is_ignored(path.name)]
    if direct and classes:
        raise DataError(
            f"{directory}: expected masks either directly in it or in one "
            f"folder per class, found both ({direct[0].name} and "
            f"{classes[0].name}/). Move the loose masks into a class folder."
        )
    masks = {DEFAULT_CLASS: direct} if direct else {}
    for path in folders:  # two spellings of one name are one class
        name = IGNORE if is_ignored(path.name) else same(path.name)
        masks.setdefault(name, []).extend(list_images(path))
    return masks


def find_samples(root):
    """All samples below a directory, naturally sorted by name.

    Args:
        root: a directory of samples, or one sample's own directory.

    Returns:
        A list of ``Sample``, at least one.

    Raises:
        DataError: the directory is missing or holds no sample, or one that
            cannot be understood.
    """
    samples, refused = usable_samples(root)
    if refused:
        raise DataError(refused[0])
    return samples


def collect_samples(sources):
    """The images of files, directories of images and trees of folders.

    Args:
        sources: paths of any of these, and of lists of images: text files
            with one path a line.

    Returns:
        (list of ``Sample``, of plain images without masks; list of sentences:
        what is wrong with folders that are none, and with lines of lists).

    Raises:
        DataError: a path is not there.
    """
    samples, refused = [], []
    for source in sources:
        if source.suffix.lower() == LIST and source.is_file():
            found, wrong = _listed(source)
            samples, refused = samples + found, refused + wrong
            continue
        if not (source.exists() or is_virtual(source)):
            raise DataError(
                f"{source}: expected an image or a directory, found nothing. "
                "Check the path."
            )
        images = list_images(source) if source.is_dir() else [source]
        if source.is_dir() and not images:
            found, wrong = usable_samples(source)
            samples, refused = samples + found, refused + wrong
        else:
            samples += [Sample(same(path.stem), path, None) for path in images]
    return samples, refused


def _listed(path):
    """The images that a list names: (samples, sentences), see above."""
    lines = [line for line in _lines_of(path) if not line.startswith("#")]
    if not lines:
        raise DataError(
            f"{path}: expected a list of images, one path a line, found an "
            "empty file."
        )
    samples, refused = [], []
    for line in lines:
        try:
            if Path(line).suffix.lower() == LIST:
                raise DataError(
                    f"{line}: expected an image in a list, found another list. "
                    "Give that one too."
                )
            found, wrong = collect_samples([path_of(line)])
        except DataError as error:
            found, wrong = [], [f"{path}: {error}"]
        samples, refused = samples + found, refused + wrong
    return samples, refused


def usable_samples(root):
    """``find_samples``, where one that is wrong does not stop the others.

    Returns:
        (list of ``Sample``, list of sentences: why others are none).
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"{root}: expected a directory of Folder_n folders, found "
            f"{'a file' if root.exists() else 'nothing'}. "
            "Check the path, or prepare data with code/util."
        )
    directories = (
        [root.resolve()]
        if (root / "images").is_dir()
        else sorted(
            (
                path
                for path in root.iterdir()
                if (path / "images").is_dir() or (path / "masks").is_dir()
            ),
            key=lambda path: natural(path.name),
        )
    )
    if not directories:
        raise DataError(
            f"{root}: expected folders like {root.name}/Folder_1/images/"
            f"Folder_1.png, found none: {what_is_there(root)}. Make them with "
            "code/util/polygon_to_mask.py and code/util/split.py."
        )
    samples, refused = [], []
    for path in directories:
        try:
            samples.append(read_sample(path))
        except DataError as error:
            refused.append(str(error))
    return samples, refused


def class_names(samples):
    """Foreground class names of labelled samples.

    They come in the order of ``classes.txt``, beside the samples or one
    directory above; without it, and behind it, sorted. Where no sample has
    any mask the article's single class is meant.

    Raises:
        DataError: a class is called as no class can be.
    """
    names = {name for s in samples for name in s.masks or {}}
    if samples:
        check_class_names(sorted(names), samples[0].image.parents[2])
    order = class_order(samples[0].image.parents[2]) if samples else []
    known = [name for name in order if name in names]
    return known + sorted(names - set(known)) or [DEFAULT_CLASS]


def check_classes(samples, classes):
    """Raise DataError for a mask of a class that is none of these."""
    for sample in samples:
        for name, paths in (sample.masks or {}).items():
            if paths and name not in classes:
                raise DataError(
                    f"{paths[0].parent}: expected masks of the classes that "
                    f"are trained ({', '.join(classes)}), found {name}. Put "
                    "images of it among the training folders too, or remove "
                    "these masks."
                )


def class_folder(name):
    """A class's name as a directory's name."""
    return re.sub(r"[^\w .+#-]", "_", name)[:60].strip(". ") or "_"


def class_order(root):
    """The lines of ``classes.txt`` in a directory or the one above, or []."""
    for place in (Path(root), Path(root).resolve().parent):
        if (place / CLASSES).is_file():
            return _classes_of(place / CLASSES)
    return []


def _classes_of(path):
    """The classes that a ``classes.txt`` names."""
    names = list(map(same, _lines_of(path, "one class")))
    check_class_names(names, path)
    return names


def _lines_of(path, content="one path"):
    """The lines of a text file that are not empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except ValueError as error:
        raise DataError(
            f"{path}: expected a text file in UTF-8, {content} a line: "
            f"{error}. Save it so."
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def digest_of_files(sides):
    """A name for data as they lie on the disk, wherever that is.

    Args:
        sides: lists of labelled samples, such as training and test.

    Returns:
        16 hexadecimal digits of the names and sizes of all files.
    """
    names = [
        [
            (sample.name, name, path.name, path.stat().st_size)
            for sample in samples
            for name, paths in [
                ("", [sample.image]),
                *sample.masks.items(),
                (IGNORE, sample.ignored),
            ]
            for path in paths
        ]
        for samples in sides
    ]
    return hashlib.sha256(repr(names).encode()).hexdigest()[:16]
