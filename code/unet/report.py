"""The report of a data check: one HTML file that needs nothing beside it."""

import base64
import io
import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from unet.check import class_pixels
from unet.defects import KINDS
from unet.folders import DataError, replacing, write_text
from unet.images import resize_image
from unet.looks import merge, pieces_of
from unet.masks import boundary

_PICTURES = 12  # of a kind
_SIDE = 220  # pixels of a picture, at most
_NEAR = 64  # pixels that are shown round a small place, at least
_OUTLINE = ((255, 60, 170), (0, 190, 255), (255, 225, 60), (120, 255, 120))
_BOX = (255, 230, 0)
_INK = "#2b6cb0", "#dd6b20", "#718096"

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


def write_report(root, looks, findings, path, plots, progress):
    """Write the report and the plots.

    Args:
        root: the directory that was checked.
        looks, findings: of ``unet.check.check``.
        path: HTML file to write.
        plots: PNG file to write.
        progress: function ``(iterable, total, title)``.
    """
    picture = io.BytesIO()
    figure = plot(looks)
    FigureCanvasAgg(figure)
    figure.savefig(picture, dpi=110)
    with replacing(plots) as temporary:
        temporary.write_bytes(picture.getvalue())
    groups = defaultdict(list)
    for one in findings:
        groups[one.kind].append(one)
    pictures = _draw_all(groups, looks, progress)
    page = _PAGE.substitute(
        side=_SIDE,
        name=escape(Path(root).resolve().name),
        root=escape(str(root)),
        mood="bad" if findings else "good",
        summary=_summary(looks, groups),
        overview=_overview(groups),
        numbers=_numbers(looks),
        plots=base64.b64encode(picture.getvalue()).decode(),
        sections="\n".join(
            _section(kind, members, pictures, root)
            for kind, members in groups.items()
        ),
    )
    write_text(path, page)


def _summary(looks, groups):
    count = sum(map(len, groups.values()))
    if not count:
        return f"{len(looks)} images, nothing found."
    return f"{len(looks)} images; findings: {count}, kinds: {len(groups)}."


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
    names = list(dict.fromkeys(one.place for one in members))
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _section(kind, members, pictures, root):
    """One kind: why, what mends it, pictures, and every file."""
    about = KINDS[kind]
    shown = [figure for one in members for figure in pictures.get(id(one), [])]
    rows = "\n".join(
        f"<tr><td><code>{escape(_short(one.path, root))}</code></td>"
        f"<td>{escape(one.what)}</td></tr>"
        for one in members
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


def _numbers(looks):
    """The data set in one sentence."""
    labelled = [look for look in looks if look.item.labelled]
    objects = sum(len(look.areas) for look in looks)
    empty = sum(_state(look) == "nothing there" for look in labelled)
    return (
        f"<p>{len(looks)} images, {len(labelled)} of them annotated, {empty} "
        f"with nothing on them; {objects} objects.</p>"
    )


# Pictures --------------------------------------------------------------------


def _draw_all(groups, looks, progress):
    """HTML figures of the first findings of every kind.

    Returns:
        dict from a finding's id to a list of str.
    """
    shapes = {id(look.item): look.shape for look in looks}
    wanted = []
    for members in groups.values():
        room = _PICTURES
        for one in members:
            items = [one.item, *one.others] if one.item else one.others
            items = [i for i in items if shapes.get(id(i))][:room]
            room -= len(items)
            wanted += [(one, item) for item in items]

    boxes = {}  # of every item, to read and draw it once
    for one, item in wanted:
        box = one.box if item is one.item else None
        boxes.setdefault(id(item), (item, {}))[1][box] = None

    def draw(item_boxes):
        item, boxes = item_boxes
        return thumbnails(item, shapes[id(item)], boxes)

    figures = defaultdict(list)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(draw, boxes.values())
        results = list(progress(results, len(boxes), "Drawing"))
        drawn = dict(zip(boxes, results, strict=True))
        for one, item in wanted:
            box = one.box if item is one.item else None
            picture = drawn[id(item)].get(box)
            if picture:
                caption = (
                    item.name
                    if item is not one.item
                    else (f"{item.name}: {one.what}")
                )
                figures[id(one)].append(_figure(picture, caption))
    return figures


def _figure(picture, caption):
    data = base64.b64encode(picture).decode()
    caption = caption if len(caption) < 110 else caption[:107] + "..."
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def thumbnails(item, shape, boxes):
    """Small pictures of an image with its objects outlined.

    Args:
        item: the ``Item``.
        shape: (H, W) of its image.
        boxes: each (left, top, right, bottom) to mark, a small one is
            enlarged; or None.

    Returns:
        dict from box to JPEG bytes; empty if the image cannot be read.
    """
    try:
        image = item.read()
    except DataError:
        return {}
    merged = merge(pieces_of(item, shape), shape)
    return {box: _thumbnail(image, merged, shape, box) for box in boxes}


def _thumbnail(image, merged, shape, box):
    """One of the ``thumbnails``."""
    left, top, right, bottom = window = _window(box, shape)
    scale = _SIDE / max(right - left, bottom - top)
    size = [
        max(1, round(side * scale)) for side in (bottom - top, right - left)
    ]
    picture = resize_image(image[top:bottom, left:right], size).copy()
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


# Plots -----------------------------------------------------------------------


def plot(looks):
    """The data set at a glance.

    Args:
        looks: of ``unet.check.check``.

    Returns:
        A ``Figure`` of six panels: how many images, their sizes, the classes'
        shares, objects an image, sizes of the objects, light and contrast.
    """
    figure = Figure((12, 6.4), layout="constrained")
    axes = figure.subplots(2, 3)
    seen = [look for look in looks if look.shape]
    for axis, draw in zip(
        axes.flat,
        (
            _plot_counts, _plot_sizes, _plot_shares,
            _plot_instances, _plot_areas, _plot_light,
        ),
        strict=True,
    ):  # fmt: skip
        draw(axis, seen)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _plot_counts(axis, looks):
    sides = sorted({look.item.side for look in looks}, reverse=True)
    states = ("with objects", "nothing there", "not annotated")
    counts = Counter((look.item.side, _state(look)) for look in looks)
    base = np.zeros(len(sides))
    for state, colour in zip(states, _INK, strict=True):
        values = np.array([counts[side, state] for side in sides])
        names = [side or "all" for side in sides]
        axis.bar(names, values, 0.6, base, label=state, color=colour)
        base = base + values
    axis.set_title("images")
    axis.set_xlim(-0.8, max(len(sides), 2) - 0.2)
    axis.set_ylim(0, max(base, default=1) * 1.35)
    axis.legend(
        fontsize=7,
        frameon=False,
        ncols=3,
        loc="upper center",
        handlelength=1,
        columnspacing=1,
    )


def _state(look):
    if not look.item.labelled:
        return "not annotated"
    item = look.item
    files = item.masks and not (item.complete and look.shape)
    return "with objects" if look.areas or files else "nothing there"


def _plot_sizes(axis, looks):
    sizes = Counter(look.shape for look in looks)
    if sizes:
        height, width = np.array(list(sizes)).T
        counts = np.array(list(sizes.values()))
        area = 20 + 380 * counts / counts.max()
        axis.scatter(width, height, area, color=_INK[0], alpha=0.6)
        axis.set_xlim(0, width.max() * 1.25)
        axis.set_ylim(0, height.max() * 1.25)
    axis.set_title(f"sizes ({len(sizes)} different)")
    axis.set_xlabel("width in pixels")
    axis.set_ylabel("height in pixels")


def _plot_shares(axis, looks):
    """Classes by their share of the pixels of annotated images."""
    labelled = [look for look in looks if look.item.labelled]
    total = sum(int(np.prod(look.shape)) for look in labelled)
    covers = sum(class_pixels(labelled), Counter())
    top = covers.most_common(10)[::-1]
    values = [count / total for _, count in top]
    bars = axis.barh([name for name, _ in top], values, 0.6, color=_INK[0])
    axis.bar_label(bars, [f"{value:.1%}" for value in values], padding=3)
    axis.set_xlim(0, max(values, default=1) * 1.25)
    axis.set_ylim(-0.8, max(len(values), 3) - 0.2)
    axis.set_title("share of the pixels")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")


def _plot_instances(axis, looks):
    counts = [len(look.areas) for look in looks if look.item.labelled]
    if any(counts):
        step = max(1, max(counts) // 30)
        edges = np.arange(0, max(counts) + step + 1, step) - 0.5
        axis.hist(counts, edges, color=_INK[0])
    else:
        axis.set_axis_off()
    axis.set_title("objects an image" if any(counts) else "no objects")
    axis.set_ylabel("images")


def _plot_areas(axis, looks):
    areas = [area for look in looks for _, area in look.areas]
    if areas:
        low, high = np.log10(min(areas)), np.log10(max(areas)) + 0.01
        axis.hist(areas, np.logspace(low, high, 31), color=_INK[0])
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.xaxis.set_minor_formatter(lambda value, _: "")
        axis.tick_params(axis="x", labelsize=8)
    else:
        axis.set_axis_off()
    axis.set_title("sizes of the objects" if areas else "")
    axis.set_xlabel("pixels")
    axis.set_ylabel("objects")


def _plot_light(axis, looks):
    sides = sorted({look.item.side for look in looks}, reverse=True)
    for side, colour in zip(sides, _INK, strict=False):
        own = [look for look in looks if look.item.side == side]
        axis.scatter(
            [look.light for look in own],
            [look.contrast for look in own],
            9,
            color=colour,
            alpha=0.6,
            label=side,
        )
    if len(sides) > 1:
        axis.legend(fontsize=8, frameon=False)
    axis.set_xlim(0, 255)
    axis.set_ylim(0, None)
    axis.set_title("light and contrast")
    axis.set_xlabel("mean grey value")
    axis.set_ylabel("standard deviation")
