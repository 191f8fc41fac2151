"""Whether the labels of a set lie where its images have edges."""

import numpy as np

from unet.inspection.edges import REACH, SIDE, SWAPPED, near
from unet.inspection.items import Finding, by_side, items_of, place_of_side

_CHANCE = 1.4  # of the edge strength: outlines that lie on nothing
_ENOUGH = 10  # images, for a judgement on all of them


def misplaced_items(exams, findings):
    """The items whose annotations lie in the wrong place as a whole.

    Returns:
        Set of the items' ``id``.
    """
    misplaced = {id(exam.item) for exam in exams if exam.misplaced}
    for finding in findings:
        if finding.kind == "corner":
            items = [finding.item] if finding.item else finding.others
            misplaced |= set(map(id, items))
    return misplaced


def compare_places(root, exams):
    """Polygons of a whole set, or of an image, crowded in one corner."""
    placed = [exam for exam in exams if exam.reach]
    if len(placed) >= 5:
        reach = np.max([exam.reach for exam in placed], axis=0)
        if (reach < 0.7).all():
            detail = (
                f"the polygons of {len(placed)} images reach to {reach[0]:.0%} "
                f"of the width and {reach[1]:.0%} of the height"
            )
            yield Finding("corner", root, detail, others=items_of(placed))
            return
    for exam in placed:
        crowded = len(exam.areas) >= 4 and max(exam.reach) <= 0.5
        if crowded and exam.edges is not None and near(exam.edges) < _CHANCE:
            yield _cornered(exam, "all polygons lie in one corner")


def _cornered(exam, detail):
    path = exam.item.annotation.source
    return Finding("corner", path, f"{exam.item.name}: {detail}", exam.item)


def compare_edges(root, exams, misplaced):
    """Outlines that lie on edges only when they are moved, or turned over.

    Args:
        root, exams: see ``check``.
        misplaced: of ``misplaced_items``; they are left alone.
    """
    for side, members in by_side(exams).items():
        seen = [
            exam
            for exam in members
            if exam.edges is not None and id(exam.item) not in misplaced
        ]
        square = [exam for exam in seen if exam.swapped is not None]
        all_swapped = _all_swapped(root, square)
        if all_swapped:
            yield all_swapped
            continue
        swapped = [
            exam
            for exam in square
            if near(exam.swapped) > SWAPPED * near(exam.edges)
        ]
        for exam in swapped:
            detail = "the outlines fit the image's edges if x and y are swapped"
            yield _cornered(exam, detail)
        elsewhere = {id(exam) for exam in swapped}
        seen = [exam for exam in seen if id(exam) not in elsewhere]
        if len(seen) >= _ENOUGH:
            pooled = np.mean([exam.edges for exam in seen], axis=0)
            move = _betterplace_of_side(pooled, 1.05, 2, 0)
            if move:
                detail = f"all of them: {_move(move, seen[0])}"
                yield Finding(
                    "shifted",
                    place_of_side(root, side),
                    detail,
                    others=items_of(seen),
                )
                continue
        for exam in seen:
            move = _betterplace_of_side(exam.edges, 1.4, 3, 2.5)
            if move:
                source = _source(exam.item)
                detail = _move(move, exam)
                yield Finding("shifted", source, detail, exam.item)


def _all_swapped(root, square):
    """The finding that x and y are swapped in all square images, or None."""
    if len(square) < _ENOUGH:
        return None
    as_is = near(np.mean([exam.edges for exam in square], axis=0))
    swapped = near(np.mean([exam.swapped for exam in square], axis=0))
    if swapped <= 1.2 * as_is:
        return None
    detail = (
        f"outlines fit edges with x and y swapped ({swapped:.1f} times "
        f"chance, as they are {as_is:.1f})"
    )
    return Finding("corner", root, detail, others=items_of(square))


def _source(item):
    """What to blame for an item's labels."""
    if item.annotation:
        return item.annotation.source
    paths = [path for path, _ in item.masks]
    return paths[0] if len(paths) == 1 else item.image.parents[1] / "masks"


def _betterplace_of_side(edges, gain, least, clear):
    """(dx, dy) where outlines fit the edges better, or None.

    Args:
        edges: of ``_edge_map``.
        gain: how many times better.
        least: distance in its pixels.
        clear: by how many standard deviations it must stand out.
    """
    row, column = np.unravel_index(edges.argmax(), edges.shape)
    dx, dy = int(column) - REACH, int(row) - REACH
    best = float(edges.max())
    stands_out = best - edges.mean() >= clear * edges.std()
    better = best >= gain * near(edges) and stands_out
    return (dx, dy) if better and np.hypot(dx, dy) >= least else None


def _move(move, exam):
    """A move in words, in pixels of the image."""
    scale = max(1.0, max(exam.shape) / SIDE)
    dx, dy = (round(step * scale) for step in move)
    across = f"{abs(dx)} px to the {'right' if dx > 0 else 'left'}"
    along = f"{abs(dy)} px {'down' if dy > 0 else 'up'}"
    named = [text for text, step in ((across, dx), (along, dy)) if step]
    return f"the outlines would fit the edges {' and '.join(named)}"
