"""What a data set consists of, whatever state it is in.

Nothing stops at the first fault: what is wrong becomes a ``Finding``.
"""

from pathlib import Path

from unet.annotations.pairing import ProblemKind, listed_names, pair
from unet.annotations.reading import NAMES_OF_CLASSES, annotation_files
from unet.annotations.rules import NO_RULES
from unet.files.errors import DataError
from unet.files.folders import (
    DEFAULT_CLASS,
    IGNORE,
    is_ignored,
    list_images,
    natural,
)
from unet.inspection.items import Finding, Item, listed, reason_of

_LITTER = ("thumbs.db", "desktop.ini")


def tree_items(root, side=""):
    """List a tree of ``Folder_n`` folders, whatever state it is in.

    Args:
        root: the directory.
        side: "train", "test" or "".

    Returns:
        (items, findings): folders with an image, and what is wrong with the
        others.

    Raises:
        DataError: there is no such directory, or no folder in it.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"{root}: expected a directory of Folder_n folders, found "
            f"{'a file' if root.exists() else 'nothing'}. Check the path."
        )
    folders = [root]
    if not (root / "images").is_dir():
        folders = sorted(
            (p for p in root.iterdir() if p.is_dir() and p.name[0] != "."),
            key=lambda path: natural(path.name),
        )
        # Other directories may lie beside the samples.
        folders = [p for p in folders if _is_sample(p)]
    if not folders:
        raise DataError(
            f"{root}: expected folders like {root.name}/Folder_1/images/"
            "Folder_1.png, found none. Images and annotations in two "
            "directories are checked with: check.py IMAGES ANNOTATIONS."
        )
    items, findings = [], []
    names = {path.name for path in folders}
    for folder in folders:
        item = _read_folder(folder, side, names, findings)
        if item:
            items.append(item)
    return items, findings


def _is_sample(folder):
    """Whether a folder was meant to hold a sample."""
    parts = (folder / "images").is_dir() or (folder / "masks").is_dir()
    return parts or bool(list_images(folder))


def _read_folder(folder, side, names, findings):
    """One folder as an item; what is wrong is added to the findings."""
    images = _readable(folder / "images", findings)
    if not images:
        findings.append(Finding("no-image", folder, "no image in images/"))
        return None
    masks, mixed = _mask_files(folder / "masks", findings)
    name = folder.resolve().name
    item = Item(name, side, images[0], masks)
    if len(images) > 1:
        named = listed([path.name for path in images])
        findings.append(
            Finding("several-images", folder / "images", named, item)
        )
    if mixed:
        findings.append(
            Finding(
                "mixed-masks",
                folder / "masks",
                f"{mixed} beside class folders",
                item,
            )
        )
    for path in [images[0], *(path for path, _ in masks or [])]:
        owner = _owner(path.stem, name, names)
        if owner:
            findings.append(
                Finding("wrong-name", path, f"{owner} is another folder", item)
            )
    return item


def _owner(stem, name, names):
    """The other folder that a file is named after, or None."""
    if stem == name or stem.startswith(f"{name}_mask"):
        return None
    owner = stem.split("_mask")[0]
    return owner if owner != name and owner in names else None


def _readable(directory, findings):
    """The images of a directory; what is no image is a finding."""
    if not directory.is_dir():
        return []
    images = list_images(directory)
    for path in sorted(directory.iterdir()):
        hidden = path.name[0] == "." or path.name.lower() in _LITTER
        if path.is_file() and path not in images and not hidden:
            findings.append(
                Finding(
                    "ignored-file", path, f"ends in {path.suffix or path.name}"
                )
            )
    return images


def _mask_files(directory, findings):
    """(list of (mask file, class) or None, name of a loose mask or None)."""
    if not directory.is_dir():
        return None, None
    loose = _readable(directory, findings)
    masks = [(path, DEFAULT_CLASS) for path in loose]
    folders = sorted(
        p for p in directory.iterdir() if p.is_dir() and p.name[0] != "."
    )
    classes = [IGNORE if is_ignored(p.name) else p.name for p in folders]
    for folder, label in zip(folders, classes, strict=True):
        masks += [(path, label) for path in _readable(folder, findings)]
    mixed = loose and set(classes) - {IGNORE}
    return masks, loose[0].name if mixed else None


def raw_items(images, annotations, format_name=None, rules=NO_RULES):
    """List images with annotations of any format, whatever state they are in.

    Args:
        images: a directory of images, or one image.
        annotations: files and directories of annotations.
        format_name, rules: see ``unet.annotations.reading.read_file``.

    Returns:
        (items, findings).

    Raises:
        DataError: there is no image, or no annotation file.
    """
    images = Path(images)
    # Masks are read when they are looked at: what is odd about them is told.
    pairs, problems = pair(
        images, annotations, format_name, rules, read_masks=False
    )
    findings = []
    if images.is_dir():
        _readable(images, findings)
    # Annotations may lie beside the images: they are no stray files.
    sources = {p for source in annotations for p in annotation_files(source)}
    findings = [
        finding
        for finding in findings
        if finding.path not in sources
        and finding.path.name.lower() not in NAMES_OF_CLASSES
    ]
    items = {known.name: _item_of(known, rules) for known in pairs}
    findings += [_finding_of(problem, items) for problem in problems]
    return list(items.values()), findings


def _item_of(known, rules):
    """A ``Pair`` as an item."""
    item = Item(known.name, "", known.image or known.source, rules=rules)
    item.annotation = known.annotation
    if known.mask:
        item.masks, item.has_complete_mask = [(known.mask, DEFAULT_CLASS)], True
    if known.image is None:
        item.picture = known.annotation.picture
    return item


def _finding_of(problem, items):
    """A ``Problem`` of pairing as a finding."""
    path = problem.path
    name, *others = problem.names or (None,)
    item = items.get(name)
    if problem.kind == ProblemKind.NO_IMAGE and others:
        listed_images = listed_names(problem.names)
        seen = f"annotations of {listed_images} that are not there"
    elif problem.kind == ProblemKind.NO_IMAGE:
        seen = f"annotates {name}, but there is no such image"
    elif problem.kind == ProblemKind.ANNOTATED_TWICE:
        seen = f"annotates {name}, as {problem.other.name} does"
    elif problem.kind == ProblemKind.SEVERAL_IMAGES:
        seen, item = f"{problem.other.name} has the same name", None
    else:
        seen = reason_of(problem.sentence, path)
    return Finding(problem.kind.value, path, seen, item)
