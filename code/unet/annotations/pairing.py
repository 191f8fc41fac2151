"""Which annotation belongs to which image: they are paired by name."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np

from unet.annotations.annotation import Annotation
from unet.annotations.images import find_images, image_of
from unet.annotations.mask_names import name_masks
from unet.annotations.placing import by_image, from_shares
from unet.annotations.reading import annotation_files, read_file
from unet.annotations.rules import NO_RULES
from unet.files.cores import usable_cores
from unet.files.errors import DataError, printable
from unet.files.folders import IMAGE_ENDINGS, what_is_there
from unet.files.names import same
from unet.imagery.mask_values import read_values
from unet.imagery.stored import stored_as

_NAMED = 5  # names in one line


@dataclass(frozen=True)
class Pair:
    """An image and what is known of it.

    Attributes:
        name: of both.
        image: the image file; of several whose names differ in their ending
            alone the first one, where nobody can know which is meant. None:
            the annotation holds it.
        annotation: None where there is none, or it is a mask not yet read.
        mask: the complete mask that is the annotation and was not read.
    """

    name: str
    image: Path | None = None
    annotation: Annotation | None = None
    mask: Path | None = None

    @property
    def source(self):
        """The file that annotates the image."""
        return self.annotation.source if self.annotation else self.mask


class ProblemKind(StrEnum):
    """Why an annotation and an image do not come together."""

    NO_IMAGE = "no-image"
    SEVERAL_IMAGES = "several-images"
    BAD_ANNOTATION = "bad-annotation"
    ANNOTATED_TWICE = "annotated-twice"


@dataclass(frozen=True)
class Problem:
    """What cannot be paired, or not be used.

    Attributes:
        kind: see ``ProblemKind``.
        path: the file to blame, or the folder of several.
        names: of the images; () where the file belongs to none. Annotations
            of a whole project may lie beside a part of its images: all that
            are not there are one problem.
        sentence: what is wrong and what mends it, in one line.
        other: the file that annotates the same image, or the image of the
            same name; None where it takes no two.
    """

    kind: ProblemKind
    path: Path
    names: tuple[str, ...]
    sentence: str
    other: Path | None = None


def _no_bar(iterable, total, title):
    return iterable


def pair(
    images,
    sources,
    format_name=None,
    rules=NO_RULES,
    progress=_no_bar,
    read_masks=True,
    embedded=True,
):
    """Read annotations, and pair them with their images by name.

    Args:
        images: a directory of images, or one image, or a list of both. One
            image and one annotation belong together, whatever their names.
        sources: files and directories of annotations.
        format_name, rules: see ``unet.annotations.reading.read_file``.
        progress: function (iterable, total, title) that shows a bar.
        read_masks: whether complete masks are read, or left to the caller.
        embedded: whether an image that its annotation file holds will do
            where there is no image file.

    Returns:
        (pairs, problems): a list of ``Pair``, of every image, annotated or
        not; and a list of ``Problem``. The image of an annotation that
        cannot be read has an empty one: it is not unlabelled.

    Raises:
        DataError: there is no image, or no annotation file.
    """
    twins = find_images(images)
    if isinstance(images, list):  # from here on it names the place
        (images, *more) = images
        images = Path(images).parent if more else images
    files = [path for source in sources for path in annotation_files(source)]
    # Annotations may lie beside the images.
    named = name_masks(twins, files, rules)
    twins, files = named.images, named.files
    if not files:
        raise DataError(
            f"{sources[0]}: expected annotations, found the images themselves. "
            "Give the annotations behind the images."
        )
    read = partial(_read_one, format_name, rules, named, read_masks)
    with ThreadPoolExecutor(usable_cores()) as pool:
        results = pool.map(read, files)
        results = list(progress(results, len(files), "Reading annotations"))
    annotated, problems = _by_name(named, results)
    if Path(images).is_file():
        annotated = _pair_the_only_ones(twins, annotated)
    pairs, lost = [], []
    for name in dict.fromkeys([*twins, *annotated]):
        known = annotated.get(name, Pair(name))
        annotation = known.annotation
        holds_image = annotation and annotation.picture and embedded
        if name in twins:
            image = _image_or_first(twins[name], known, problems)
            pairs.append(_on_image(known, image))
        elif holds_image:
            pairs.append(known)
        else:
            lost.append(known)
            continue
        if annotation and annotation.error:
            kind = ProblemKind.BAD_ANNOTATION
            problems.append(
                Problem(kind, annotation.source, (name,), annotation.error)
            )
    if lost:
        problems.append(_without_images(lost, images, twins))
    if not pairs:
        raise DataError(
            f"{images}: expected images, found none: {what_is_there(images)}. "
            f"Check the path; images end in {' '.join(IMAGE_ENDINGS)}."
        )
    return pairs, problems


def _read_one(format_name, rules, named, read_masks, path):
    """What a file annotates: (list of pairs without images, error or None)."""
    if not read_masks and path.suffix.lower() in IMAGE_ENDINGS:
        return [Pair(named.owners.get(path, same(path.stem)), mask=path)], None
    try:
        known = read_file(path, format_name, rules)
        if path in named.owners:
            (mask,) = known.values()
            mask.repairs[
                f"mask called {named.mask_name} paired with the image {{name}}"
            ] += 1
            known = {named.owners[path]: mask}
        annotations = list(by_image(known, named.images))
    except DataError as error:
        return [], error
    except OSError as error:
        reason = error.strerror or error
        return [], DataError(f"{path}: cannot be read ({reason}).")
    return [
        Pair(name, annotation=annotation) for name, annotation in annotations
    ], None


def _by_name(named, results):
    """(dict from a name to its pair, problems) of what files hold."""
    annotated, problems = {}, []
    for path, (pairs, error) in zip(named.files, results, strict=True):
        if error:
            name = named.owners.get(path, same(path.stem))
            names = (name,) if name in named.images else ()
            kind = ProblemKind.BAD_ANNOTATION
            problems.append(Problem(kind, path, names, str(error)))
            for name in names:
                empty = Pair(name, annotation=Annotation(path))
                annotated.setdefault(name, empty)
        for new in pairs:
            known = annotated.setdefault(new.name, new)
            if known is not new:
                problems.append(_annotated_twice(path, known))
    return annotated, problems


def _annotated_twice(path, known):
    return Problem(
        ProblemKind.ANNOTATED_TWICE,
        path,
        (known.name,),
        printable(
            f"{path}: annotates {known.name}, which {known.source} does as "
            "well. Give one of the two."
        ),
        known.source,
    )


def looks_swapped(pairs, problems):
    """Whether images were given for masks and masks for images.

    Args:
        pairs, problems: of ``pair``.
    """
    bad = [p for p in problems if p.kind == ProblemKind.BAD_ANNOTATION]
    masks = [k for k in pairs if k.image and k.source in {p.path for p in bad}]
    if len(bad) < sum(bool(known.source) for known in pairs) or not masks:
        return False
    try:
        values, photo = (
            len(np.unique(read_values(path)[0]))
            for path in (masks[0].image, masks[0].source)
        )
    except DataError:
        return False
    return values <= 2 < photo


def _without_images(lost, images, twins):
    """The problem of all annotations whose images are not there."""
    names = tuple(known.name for known in lost)
    sources = {known.source for known in lost}
    path = lost[0].source
    if len(sources) > 1:
        folders = {source.parent for source in sources}
        path = folders.pop() if len(folders) == 1 else Path(images)
    if len(names) == 1:
        sentence = (
            f"annotates {names[0]}, but there is no such image in {images}. "
            "Add the image, or correct the name."
        )
    else:
        sentence = (
            f"annotations of {listed_names(names)} that are not in {images}. "
            "Add the images, or correct the names, if they belong together."
        )
    near = [
        (name, image)
        for name in names
        for image in twins
        if name.startswith(image) and not name[len(image)].isalnum()
    ]
    if len(near) == len(names):
        name, image = near[0]
        sentence += f" Was {image} meant by {name}? Names must be the same."
    kind = ProblemKind.NO_IMAGE
    return Problem(kind, path, names, printable(f"{path}: {sentence}"))


def listed_names(names):
    """``7 images (a, b, c, d, e, ...)``: the first names in short."""
    more = ", ..." if len(names) > _NAMED else ""
    return f"{len(names)} images ({', '.join(names[:_NAMED])}{more})"


def _image_or_first(paths, known, problems):
    """``image_of``; the first one, and a problem, where nobody can know."""
    try:
        return image_of(paths, known.annotation)
    except DataError as error:
        kind = ProblemKind.SEVERAL_IMAGES
        problems.append(
            Problem(kind, paths[1], (known.name,), str(error), paths[0])
        )
        return paths[0]


def _on_image(known, image):
    """A ``Pair`` with its image, and what it knows in pixels of that."""
    annotation = known.annotation
    if annotation and annotation.in_shares:
        stored = stored_as(image)
        shape = stored and stored.upright_shape
        annotation = from_shares(annotation, shape)
    return replace(known, image=image, annotation=annotation)


def _pair_the_only_ones(images, annotated):
    """One image and one annotation belong together, whatever their names."""
    if len(images) != 1 or len(annotated) != 1:
        return annotated
    (name,), (only,) = images, annotated.values()
    if only.name != name and only.annotation:
        taken = printable(
            f"annotation of {only.name} taken for the only image, {name}"
        )
        only.annotation.repairs[taken] += 1
    return {name: replace(only, name=name)}
