"""What a run writes: the files of its sinks, and those of all images."""

import json
from dataclasses import dataclass
from pathlib import Path

from unet.annotations.rules import Rules
from unet.annotations.writing import AnnotatedImage
from unet.files.atomic import write_text
from unet.files.errors import DataError
from unet.files.names import check_results
from unet.files.splits import spread
from unet.geometry.outlining import DEFAULTS, Outlining
from unet.geometry.polygons import class_outlines
from unet.prediction.palette import PaletteMask, palette_of
from unet.prediction.separation import NO_SEPARATION, Separation
from unet.prediction.sinks import (
    Judgement,
    MapLayer,
    Masks,
    Overlay,
    Probabilities,
    Uncertain,
    WholeImage,
)
from unet.prediction.truth import open_truth
from unet.scoring.objects import Objects
from unet.scoring.scores import Scores

SCORES, CONTACT_SHEET = "scores.json", "contact_sheet.png"
CONFUSION = "confusion.png"
_EXAMPLES = 16  # images on a contact sheet


@dataclass(frozen=True)
class Wanted:
    """What is wanted besides masks and overlays.

    Attributes:
        probability: ``"8bit"`` or ``"float"``; None: none.
        layer: ``"geojson"`` or ``"gpkg"``, objects of scenes as a map layer.
        longitude_latitude: coordinates of the layer.
        outlining: how outlines are drawn.
        truth: file that says what is in the only scene.
        separation: how objects that touch come apart.
        palette: one mask of all classes as well.
        colours: of the classes there, see ``palette_of``, and in a truth that
            is a mask of colours; None: as overlays, and there are none.
    """

    probability: str | None = None
    layer: str | None = None
    longitude_latitude: bool = False
    outlining: Outlining = DEFAULTS
    truth: Path | None = None
    separation: Separation = NO_SEPARATION
    palette: bool = False
    colours: dict[int, str] | None = None


class Outputs:
    """Makes the sinks of every source, and keeps what belongs to all.

    Args:
        out: directory of the results.
        sources: list of ``unet.prediction.stream.Source``.
        classes: foreground class names.
        wanted: ``Wanted``.
        writer: ``unet.annotations.writing.Writer``, or None.

    Attributes:
        sources: the same list.
        scores: ``Scores`` of the images whose truth is known.
        notes: lines about the files, for the user.
        shown: names of the images of the contact sheet.
        examples: list of ``unet.pictures.figures.Example`` of these.
        palette: uint8, (classes + 1) x 3, the colours of the masks of all
            classes; None: there are none.

    Raises:
        DataError: something is wanted that these images have no place for.
    """

    def __init__(self, out, sources, classes, wanted, writer=None):
        self.out, self.classes = Path(out), classes
        self.wanted, self.writer = wanted, writer
        self.scores, self.notes = Scores(classes), []
        self.palette = None
        if wanted.palette:
            self.palette = palette_of(classes, wanted.colours)
        self.sources = sources
        self._refuse_photos()
        self._truth = self._open_truth()
        held = [source for source in sources if self._is_held_whole(source)]
        self.shown = {source.name for source in spread(held, _EXAMPLES)}
        self.examples = []

    def _refuse_photos(self):
        photos = [source for source in self.sources if source.is_photo]
        for name in ("layer", "truth"):
            if getattr(self.wanted, name) and photos:
                raise DataError(
                    f"{photos[0].sample.image}: expected a scene for --{name}, "
                    "found an image that the network sees at once. Predict it "
                    "without, for instance with --annotations geojson."
                )

    def _open_truth(self):
        path, sources = self.wanted.truth, self.sources
        if path is None:
            return None
        if len(sources) > 1 or sources[0].sample.masks is not None:
            raise DataError(
                f"{path}: expected one scene without masks of its own for "
                f"--truth, found {len(sources)} image(s). Predict one at a "
                "time."
            )
        rules = Rules(by_options=False, colours=self.wanted.colours)
        return open_truth(path, sources[0].sample.image, self.classes, rules)

    def _is_held_whole(self, source):
        wanted = source.sample.masks is not None or self.writer is not None
        return wanted or not source.is_large

    def sinks(self, source):
        """What the strips of a source go into: list of ``Sink``."""
        wanted, classes = self.wanted, self.classes
        heights = self._heights_in(source)
        sinks = [Masks(source, classes), Overlay(source, classes, heights)]
        if self.palette is not None:
            sinks.append(PaletteMask(source, self.palette))
        if wanted.probability:
            sinks.append(Probabilities(source, classes, wanted.probability))
        if source.has_places or self._truth:
            sinks.append(Uncertain(source))
        if self._truth:
            judged = self._truth, self.scores, heights
            sinks.append(Judgement(source, *judged))
        if wanted.layer:
            how = wanted.outlining, wanted.longitude_latitude, heights
            sinks.append(MapLayer(source, classes, wanted.layer, *how))
        if self._is_held_whole(source):
            receivers = [self._score, self._keep_example]
            if self.writer:
                receivers.append(self._annotate)
            sinks.append(WholeImage(source, classes, receivers))
        return sinks

    def _heights_in(self, source):
        """How objects of each class come apart there; None: not known yet."""
        if source.shape is None:
            return None
        return self.wanted.separation.of(source, self.classes)

    def names_of(self, source):
        """What the files of one source are called."""
        return [name for sink in self.sinks(source) for name in sink.files()]

    def files(self):
        """Every file that the run writes.

        Raises:
            DataError: two results would have one name, or one cannot have
                its name.
        """
        files = []
        for source in self.sources:
            files += [self.out / name for name in self.names_of(source)]
        if self.writer:
            files += self.writer.files([s.name for s in self.sources])
        samples = [source.sample for source in self.sources]
        if self._truth or any(s.masks is not None for s in samples):
            files.append(self.out / SCORES)
            if len(self.classes) > 1:
                files.append(self.out / CONFUSION)
        if self.shown:
            files.append(self.out / CONTACT_SHEET)
        check_results(self.out, files)
        twice = len(files) - len(set(files))
        if twice:
            raise DataError(
                f"{self.out}: {twice} result(s) would have the name of another "
                "one. Rename the images, or predict them into two directories."
            )
        return files

    def _score(self, source, strip, truth):
        if truth is None:
            return
        heights = self._heights_in(source)
        self.scores.add(
            source.name,
            truth.ids,
            strip.ids,
            strip.probability,
            Objects(heights, truth.instances, strip.edge),
        )

    def _keep_example(self, source, strip, truth):
        if source.name in self.shown:
            from unet.pictures.figures import Example  # slow to import

            ids = truth and truth.ids
            self.examples.append(
                Example(source.name, strip.image, strip.ids, ids).smaller()
            )

    def _annotate(self, source, strip, truth):
        outlining = self.wanted.outlining
        instances = class_outlines(
            strip.ids,
            self.classes,
            strip.probability,
            self._heights_in(source),
            edge=strip.edge,
            tolerance=outlining.tolerance,
            smallest=outlining.smallest,
            square=outlining.square,
        )
        image, shape = source.sample.image, strip.ids.shape
        self.writer.add(AnnotatedImage(source.name, image, shape, instances))

    def close(self, facts):
        """Write what belongs to all sources.

        Args:
            facts: dict of what scores.json says of the run.

        Returns:
            Summary of the scores; None where no truth is known.
        """
        from unet.pictures import figures  # Matplotlib is slow to import

        if self.writer:
            self.writer.close()
        if self.examples:
            total = len(self.sources)
            sheet = figures.contact_sheet(self.examples, total)
            figures.save_figure(sheet, self.out / CONTACT_SHEET)
        if not self.scores.names:
            return None
        summary = self.scores.summary()
        if "confusion" in summary:
            figure = figures.confusion_matrix(summary["confusion"])
            figures.save_figure(figure, self.out / CONFUSION)
        result = {
            **facts,
            **summary,
            "per_image": self.scores.per_image(),
        }
        write_text(self.out / SCORES, json.dumps(result, indent=2) + "\n")
        return summary
