"""The options that say which classes are written, and what is told of them."""

from dataclasses import dataclass

from unet.files.errors import DataError


def add(parser):
    """Add what a user can say of classes: see ``choice_of``."""
    add = parser.add_argument
    add(
        "--classes",
        metavar="A,B,...",
        help="keep these classes only, in this order (default: all)",
    )
    add(
        "--rename",
        metavar="OLD=NEW,...",
        help="rename classes, for instance bina=building",
    )
    add(
        "--components",
        action="store_true",
        help="divide complete masks into objects: their connected parts",
    )


def choice_of(args, rules):
    """What the options say of classes: a ``ClassChoice``."""
    from unet.annotations.drawing import ClassChoice

    wanted = (args.classes or "").split(",")
    return ClassChoice(
        wanted=tuple(name.strip() for name in wanted if name.strip()),
        renamed=_renames(args.rename, "--rename"),
        order=tuple((rules.colours or {}).values()),
        named=bool(args.attribute),
    )


def _renames(text, option):
    """``a=b,c=d`` as a dict."""
    parts = [part.split("=") for part in (text or "").split(",") if part]
    if any(len(part) != 2 or not all(part) for part in parts):
        raise DataError(f"{option} {text}: expected OLD=NEW,OLD=NEW.")
    return {old.strip(): new.strip() for old, new in parts}


@dataclass(frozen=True)
class Usable:
    """Pairs of images and annotations that can be drawn, and the others.

    Attributes:
        pairs: list of ``unet.annotations.pairing.Pair``, sorted by name.
        lost: problems of annotations whose images are not there.
        refused: dict from an image's name to what is wrong with it.
        unread: sentences on files that cannot be read and may annotate any.
        unseen: number of images left out because of these.
    """

    pairs: list
    lost: list
    refused: dict[str, str]
    unread: list[str]
    unseen: int

    def report_left_out(self):
        """Print which annotations wait for their images."""
        for problem in self.lost:
            print(f"  left out: {problem.sentence}")
        if self.unread and self.unseen:
            print(
                f"  left out: {self.unseen} images that no readable file "
                "annotates"
            )


def usable_pairs(pairs, problems):
    """Sort out what ``unet.annotations.pairing.pair`` gave: ``Usable``.

    Raises:
        DataError: no annotation belongs to an image that is there, or no
            file can be read.
    """
    from unet.annotations.pairing import ProblemKind
    from unet.files.folders import natural

    lost = [p for p in problems if p.kind == ProblemKind.NO_IMAGE]
    unread = [p for p in problems if not p.names]
    if (unread or lost) and not any(known.source for known in pairs):
        raise DataError((unread or lost)[0].sentence)
    refused = {
        p.names[0]: p.sentence for p in problems if p.names and p not in lost
    }
    usable = [
        known
        for known in pairs
        # A file that cannot be read may annotate what seems unlabelled.
        if known.name not in refused and (known.source or not unread)
    ]
    usable.sort(key=lambda known: natural(known.name))
    unseen = len(pairs) - len(usable) - len(refused)
    return Usable(usable, lost, refused, [p.sentence for p in unread], unseen)


def report_ignored(ignored, pixels, images, objects):
    """Print what counts nowhere, if anything does.

    Args:
        ignored, pixels: number of ignored ones, and of all.
        images: on what they are, as "3 images".
        objects: number of annotated ones among it.
    """
    if ignored:
        print(
            f"  ignored: {ignored} pixels ({ignored / pixels:.1%}) of "
            f"{images}, {objects} objects: they count in no training and in "
            "no score"
        )


def report(chosen, wanted):
    """Print which classes there are, where that is not obvious.

    Args:
        chosen: ``unet.annotations.drawing.ChosenClasses``.
        wanted: the classes that the user named.
    """
    from unet.annotations.drawing import listed_counts

    counts = chosen.counts
    if len(chosen.classes) > 1 or chosen.left_out or wanted:
        counted = ", ".join(
            f"{name} ({counts[name]})" for name in chosen.classes
        )
        print(f"  classes: {counted}")
    if chosen.left_out:
        print("  classes left out: " + listed_counts(chosen.left_out))
    absent = [name for name in wanted if name not in counts]
    if absent:
        print(f"  classes that no annotation has: {', '.join(absent)}")
    colours = [
        name.removeprefix("#") for name in chosen.classes if name[0] == "#"
    ]
    if len(colours) > 1:
        named = ",".join(f"{colour}=NAME" for colour in colours)
        print(f"  to name the colours: --colours {named}")
