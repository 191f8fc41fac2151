"""A model's own contract to a page that people can read."""

from pathlib import Path

from unet.terminal import cli


def read_arguments():
    parser = cli.new_parser(
        "The result is MODEL.md beside the model (or OUT): what the model "
        "finds, what it learned from and how, its scores and its limits, as "
        "its file says them.",
        [
            "python code/test/model_card.py --out model.md",
            "python code/test/model_card.py --model my.keras",
        ],
    )
    add = parser.add_argument
    add("--model", type=Path, default=cli.SHIPPED, help="model to describe")
    add(
        "--out",
        type=Path,
        help="file of the page, instead of MODEL.md beside the model",
    )
    add("--overwrite", action="store_true", help="replace the page")
    return parser.parse_args()


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args = read_arguments()

from dataclasses import asdict

from unet.files.atomic import refuse_existing, write_text
from unet.network.contract import TrainingSettings, read_contract
from unet.prediction.strip import bands_of
from unet.scoring.scores import has_background

# Of the options of a training, those that name no choice.
_SILENT = ("seed", "images", "freeze", "recipe", "size")


def card(contract, name):
    """The page.

    Args:
        contract: of ``unet.network.contract.read_contract``.
        name: the model's file name.

    Returns:
        Markdown, str.
    """
    notes = contract.notes
    lines = [
        f"# {notes.get('title', 'U-Net')}: {name}",
        "",
        *finds_and_takes(contract),
        "",
        "## Trained on",
        "",
        *trained(contract),
        "",
        "## Scores",
        "",
        *scores(contract),
    ]
    for title in ("limits", "attribution"):
        if title in notes:
            lines += ["", f"## {title.capitalize()}", ""]
            lines += [f"* {line}" for line in notes[title]]
    return "\n".join(lines) + "\n"


def finds_and_takes(contract):
    """What it finds, in which images, and from which threshold on."""
    height, width = contract.size
    threshold = f"{contract.threshold:g}"
    bands = bands_of(contract.preprocessing)
    seen = "RGB" if bands.numbers is None else ", ".join(bands.names())
    seen += " of 16 bits" if bands.limits else ""
    if contract.best_threshold is not None:
        threshold += (
            f" (best on its validation images: {contract.best_threshold:g})"
        )
    return [
        f"* Finds: {', '.join(contract.classes)}",
        f"* Input: {seen}, {width} x {height} pixels; `test.py` shows it "
        f"larger images through windows, at {contract.scale:.3g} of their own "
        "size (`--scale` overrides)",
        *ground(contract),
        f"* Threshold: {threshold}",
        *separation(contract),
    ]


def ground(contract):
    """At which ground resolution it sees georeferenced images, if any."""
    if contract.resolution is None:
        return []
    metres = " x ".join(f"{side:.3g}" for side in contract.resolution)
    return [f"* Georeferenced images: at {metres} m a pixel"]


def separation(contract):
    """Where objects that touch come apart, if any do."""
    heights = [f"{h:g} ({c})" for c, h in contract.separation.items()]
    if not heights:
        return []
    return [
        "* Objects come apart where they touch, at a height in pixels of the "
        f"input of {', '.join(heights)}; regions that are nowhere so high are "
        "no objects (`test.py --separate` overrides)"
    ]


def trained(contract):
    """Data and recipe."""
    notes, data = contract.notes, contract.data
    versions = [f"{k} {v}" for k, v in contract.versions.items()]
    article = asdict(TrainingSettings())
    differs = {
        name: value
        for name, value in asdict(contract.training).items()
        if name not in _SILENT and value != article[name]
    }
    told = [f"{k.replace('_', '-')} {_text(v)}" for k, v in differs.items()]
    return [
        *([f"* {_sentence(notes['trained_on'])}"] if notes else []),
        *(
            [f"* {data['images']} images, digest `{data['digest']}`"]
            if data
            else []
        ),
        f"* Unlike the article's recipe: {', '.join(told) or 'nothing'}",
        f"* Seed {contract.training.seed}; {', '.join(versions)}",
    ]


def scores(contract):
    """Test scores, and those of other places and scales."""
    lines = []
    if contract.scores:
        lines = table([("test folders of its training", 1, contract.scores)])
    others = contract.evaluations
    if others:
        rows = [(e["where"], e["scale"], e["scores"]) for e in others]
        lines += [
            "",
            "At other places and scales. At scale 2 objects are twice as "
            "large in the network's input as in the images resized to it, at "
            "0.5 half as large.",
            "",
            *table(rows),
        ]
    return lines or ["None: there were no test images."]


def table(rows):
    """Markdown of scores.

    Args:
        rows: list of (where, scale, summary of ``unet.scoring.scores``).
    """
    lines = [
        "| on | images | scale | class | IoU | 95 % | precision | recall "
        "| mean IoU with background |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for where, scale, summary in rows:
        mean = summary["mean_iou"] if has_background(summary) else None
        classes = summary["classes"]
        if "mean_iou_classes" in summary:
            classes = {"mean of the classes": mean_score(summary), **classes}
        for name, score in classes.items():
            low, high = score.get("iou_interval") or (None, None)
            interval = "" if low is None else f"{low:.3f} to {high:.3f}"
            cells = [
                where,
                summary["images"],
                f"{scale:g}",
                name,
                _score(score["iou"]),
                interval,
                _score(score.get("precision")),
                _score(score.get("recall")),
                _score(mean),
            ]
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def mean_score(summary):
    """The mean over several classes, like the score of one of them."""
    return {
        "iou": summary["mean_iou_classes"],
        "iou_interval": summary.get("mean_iou_classes_interval"),
    }


def _score(value):
    return "" if value is None else f"{value:.3f}"


def _sentence(text):
    return text[:1].upper() + text[1:]


def _text(value):
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else value


def main(args):
    contract = read_contract(args.model)
    out = args.out or args.model.with_name("MODEL.md")
    refuse_existing([out], args.overwrite)
    write_text(out, card(contract, args.model.name))
    print(f"card -> {cli.short_path(out)}")


if __name__ == "__main__":
    main(args)
