"""The report of a data check: one HTML file that needs nothing beside it."""

import base64
import csv
import io
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image, ImageDraw

from unet.files.atomic import replacing, write_text
from unet.files.cores import usable_cores
from unet.files.errors import DataError
from unet.files.folders import IGNORE
from unet.geometry.masks import boundary
from unet.imagery.resizing import resize_image
from unet.inspection.kinds import KINDS
from unet.inspection.one_image import pieces_of
from unet.inspection.pieces import merge
from unet.inspection.plots import plot, state_of
from unet.pictures.overlay import hatched

_PICTURES = 12  # of a kind
_SIDE = 220  # pixels of a picture, at most
_NEAR = 64  # pixels that are shown round a small place, at least
_OUTLINE = ((255, 60, 170), (0, 190, 255), (255, 225, 60), (120, 255, 120))
_BOX = (255, 230, 0)
_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Data check: $name</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #1a202c; margin: 0;
  background: #f7fafc }
main { max-width: 1080px; margin: 0 auto; padding: 24px }
h1 { margin: 0 0 4px; font-size: 26px } h2 { margin: 0; font-size: 18px }
section { background: #fff; border: 1px solid #e2e8f0; border-radius: 8px;
  padding: 16px 20px; margin: 18px 0 }
p { margin: 6px 0 } code { font-size: 13px; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: 4px 10px 4px 0; vertical-align: top;
  border-top: 1px solid #edf2f7 }
th { border: 0; white-space: nowrap; color: #4a5568; font-weight: 600 }
.number { text-align: right; padding-right: 18px }
.key { color: #718096; font-size: 13px; font-weight: 400; margin-left: 8px }
.pictures { display: flex; flex-wrap: wrap; gap: 12px; margin: 12px 0 }
figure { margin: 0; width: ${side}px } figure img { border-radius: 4px;
  max-width: 100%; min-width: 96px; image-rendering: pixelated }
figcaption { font-size: 12px; line-height: 1.35; color: #4a5568;
  overflow-wrap: anywhere }
.plots { width: 100% } summary { cursor: pointer; color: #2b6cb0 }
a { color: #2b6cb0; text-decoration: none }
.good { color: #276749 } .bad { color: #9b2c2c }
</style>
<main>
<h1>Data check</h1>
<p><code>$root</code></p>
<p class="$mood"><strong>$summary</strong></p>
$overview
<section><h2>The data</h2>$numbers
<img class="plots" src="data:image/png;base64,$plots" alt="plots"></section>
$sections
</main>
</html>
""")


def write_report(root, exams, findings, path, plots, progress):
    """Write the report and the plots.

    Args:
        root: the directory that was checked.
        exams, findings: of ``unet.inspection.whole_set.check``.
        path: HTML file to write.
        plots: PNG file to write.
        progress: function ``(iterable, total, title)``.
    """
    picture = io.BytesIO()
    figure = plot(exams)
    FigureCanvasAgg(figure)
    figure.savefig(picture, dpi=110)
    with replacing(plots) as temporary:
        temporary.write_bytes(picture.getvalue())
    groups = defaultdict(list)
    for finding in findings:
        groups[finding.kind].append(finding)
    pictures = _draw_all(groups, exams, progress)
    page = _PAGE.substitute(
        side=_SIDE,
        name=escape(Path(root).resolve().name),
        root=escape(str(root)),
        mood="bad" if findings else "good",
        summary=_summary(exams, groups),
        overview=_overview(groups),
        numbers=_numbers(exams),
        plots=base64.b64encode(picture.getvalue()).decode(),
        sections="\n".join(
            _section(kind, members, pictures, root)
            for kind, members in groups.items()
        ),
    )
    write_text(path, page)


def _summary(exams, groups):
    count = sum(map(len, groups.values()))
    if not count:
        return f"{len(exams)} images, nothing found."
    return f"{len(exams)} images; findings: {count}, kinds: {len(groups)}."


def _overview(groups):
    """The table of kinds."""
    if not groups:
        return ""
    rows = "\n".join(
        f'<tr><td class="number">{len(members)}</td>'
        f'<td><a href="#{kind}">{escape(KINDS[kind].title)}</a></td>'
        f"<td>{escape(_first(members))}</td></tr>"
        for kind, members in groups.items()
    )
    return (
        '<section><table><tr><th class="number">how many</th><th>what</th>'
        f"<th>where</th></tr>\n{rows}\n</table></section>"
    )


def _first(members):
    names = list(dict.fromkeys(finding.place for finding in members))
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _section(kind, members, pictures, root):
    """One kind: why, what mends it, pictures, and every file."""
    about = KINDS[kind]
    shown = [
        figure
        for finding in members
        for figure in pictures.get(id(finding), [])
    ]
    rows = "\n".join(
        f"<tr><td><code>{escape(_short(finding.path, root))}</code></td>"
        f"<td>{escape(finding.detail)}</td></tr>"
        for finding in members
    )
    mended = " <code>check.py --fix OUT</code> does it." if about.fixed else ""
    title = about.title[0].upper() + about.title[1:]
    is_open = " open" if len(members) <= 20 else ""
    return (
        f'<section id="{kind}"><h2>{escape(title)}'
        f'<span class="key">{kind}</span></h2>'
        f"<p><b>Why it hurts:</b> {escape(about.why)}.</p>"
        f"<p><b>What mends it:</b> {escape(about.mend)}{mended}</p>"
        f'<div class="pictures">{"".join(shown)}</div>'
        f"<details{is_open}><summary>{len(members)} "
        f"finding{'s' if len(members) > 1 else ''}</summary>"
        f"<table>\n{rows}\n</table></details></section>"
    )


def _short(path, root):
    try:
        return str(path.relative_to(root))
    except ValueError:
        return str(path)


def _numbers(exams):
    """The data set in one sentence."""
    labelled = [exam for exam in exams if exam.item.labelled]
    objects = sum(len(exam.areas) for exam in exams)
    empty = sum(state_of(exam) == "nothing there" for exam in labelled)
    ignored = sum(exam.ignored for exam in labelled)
    share = ""
    if ignored:
        pixels = sum(int(np.prod(exam.shape or 0)) for exam in labelled)
        share = f" Ignored: {ignored / pixels:.1%} of the pixels."
    return (
        f"<p>{len(exams)} images, {len(labelled)} of them annotated, {empty} "
        f"with nothing on them; {objects} objects.{share}</p>"
    )


def _draw_all(groups, exams, progress):
    """HTML figures of the first findings of every kind.

    Returns:
        dict from a finding's id to a list of str.
    """
    exams_of = {id(exam.item): exam for exam in exams if exam.shape}
    wanted = []
    for members in groups.values():
        room = _PICTURES
        for finding in members:
            items = (
                [finding.item, *finding.others]
                if finding.item
                else finding.others
            )
            items = [i for i in items if id(i) in exams_of][:room]
            room -= len(items)
            wanted += [(finding, item) for item in items]

    boxes = {}  # of every item, to read and draw it once
    for finding, item in wanted:
        box = finding.box if item is finding.item else None
        boxes.setdefault(id(item), (item, {}))[1][box] = None

    def draw(item_boxes):
        item, boxes = item_boxes
        return thumbnails(exams_of[id(item)], boxes)

    figures = defaultdict(list)
    with ThreadPoolExecutor(usable_cores()) as pool:
        results = pool.map(draw, boxes.values())
        results = list(progress(results, len(boxes), "Drawing"))
        drawn = dict(zip(boxes, results, strict=True))
        for finding, item in wanted:
            box = finding.box if item is finding.item else None
            picture = drawn[id(item)].get(box)
            if picture:
                caption = (
                    item.name
                    if item is not finding.item
                    else (f"{item.name}: {finding.detail}")
                )
                figures[id(finding)].append(_figure(picture, caption))
    return figures


def _figure(picture, caption):
    data = base64.b64encode(picture).decode()
    caption = caption if len(caption) < 110 else caption[:107] + "..."
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def thumbnails(exam, boxes):
    """Small pictures of an image with its objects outlined.

    Args:
        exam: what was seen of the image.
        boxes: each (left, top, right, bottom) to mark, a small one is
            enlarged; or None.

    Returns:
        dict from box to JPEG bytes; empty if the image cannot be read.
    """
    try:
        image = exam.item.read()
    except DataError:
        return {}
    shape = exam.shape
    merged = merge(pieces_of(exam.item, shape, exam.turned), shape)
    return {box: _thumbnail(image, merged, shape, box) for box in boxes}


def _thumbnail(image, merged, shape, box):
    """One of the ``thumbnails``."""
    left, top, right, bottom = window = _window(box, shape)
    scale = _SIDE / max(right - left, bottom - top)
    size = [
        max(1, round(side * scale)) for side in (bottom - top, right - left)
    ]
    picture = resize_image(image[top:bottom, left:right], size).copy()
    merged = dict(merged)
    ignored = merged.pop(IGNORE, np.zeros(shape, bool))[top:bottom, left:right]
    ignored = resize_image(ignored.astype(np.float32), size) > 0.5
    picture = hatched(picture, ignored)
    for number, (_, mask) in enumerate(sorted(merged.items())):
        part = mask[top:bottom, left:right].astype(np.float32)
        covered = resize_image(part, size) > 0.3
        colour = _OUTLINE[number % len(_OUTLINE)]
        picture[boundary(covered, 1)] = colour
    drawn = Image.fromarray(picture)
    if box:
        _mark(drawn, box, window, scale)
    data = io.BytesIO()
    drawn.save(data, "JPEG", quality=82)
    return data.getvalue()


def _window(box, shape):
    """What to show: the whole image, or the surroundings of a small box."""
    height, width = shape
    if box is None:
        return 0, 0, width, height
    left, top, right, bottom = box
    side = max(_NEAR, 4 * max(right - left, bottom - top))
    if side >= min(shape):
        return 0, 0, width, height
    x = np.clip((left + right) // 2 - side // 2, 0, width - side)
    y = np.clip((top + bottom) // 2 - side // 2, 0, height - side)
    return int(x), int(y), int(x + side), int(y + side)


def _mark(picture, box, window, scale):
    """Draw a rectangle round a place."""
    corner = np.array(window[:2] * 2)
    left, top, right, bottom = (np.array(box) - corner) * scale
    edges = [left - 3, top - 3, right + 3, bottom + 3]
    edges = np.clip(edges, 0, [*picture.size, *picture.size] - np.ones(4))
    ImageDraw.Draw(picture).rectangle(edges.tolist(), outline=_BOX, width=2)


def write_table(findings, path):
    """Write all findings as CSV."""
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["kind", "file", "what", "why", "mend"])
        for finding in findings:
            kind = KINDS[finding.kind]
            table.writerow(
                [
                    finding.kind,
                    finding.path,
                    finding.detail,
                    kind.why,
                    kind.mend,
                ]
            )
