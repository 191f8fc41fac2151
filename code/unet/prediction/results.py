"""From samples to files: which are scenes, and how those are predicted."""

import glob
import hashlib
import shutil
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from unet.files.errors import DataError
from unet.files.folders import Sample
from unet.imagery.georeference import read_georeference
from unet.imagery.mask_values import read_class_ids
from unet.imagery.rasters import Scene
from unet.imagery.reading import read_image
from unet.imagery.stored import stored_as
from unet.prediction.map_layer import Layer
from unet.prediction.photos import Prediction
from unet.prediction.scaling import scales
from unet.prediction.scenes import strips
from unet.prediction.sinks import files_of_strips
from unet.prediction.truth import open_truth
from unet.prediction.windows import Tiling

# Pixels up to which a predicted image is also held whole, to be shown.
_MOST_WHOLE = 2**25
# Of a side up to which a scene's overlay has its own size.
_PICTURE = 2000


@dataclass
class Job:
    """A scene that is to be predicted.

    Attributes:
        sample: ``unet.files.folders.Sample``.
        tiling: ``unet.prediction.windows.Tiling``.
        streamed: whether its files are written from strips, as GeoTIFF or
            because it is too large to be held whole.
        pictured: whether its pictures are made from strips too.
        whole: whether it is held whole nevertheless: it is small enough, or
            masks beside it are its truth, or annotations are wanted.
        ending: of its masks, ``.tif`` or ``.png``.
    """

    sample: Sample
    tiling: Tiling
    streamed: bool
    pictured: bool
    whole: bool
    ending: str


def find_scenes(samples, contract, args):
    """Which samples are scenes, and not photos that the network sees whole.

    Scenes are images larger than the network's input at its ground scale,
    and georeferenced rasters.

    Args:
        samples: list of ``unet.files.folders.Sample``.
        contract: of the model.
        args: with ``scale``, ``overlap`` and ``annotations``.

    Returns:
        dict from a sample's name to its ``Job``.
    """
    jobs = {}
    for sample in samples:
        kept = stored_as(sample.image)
        if kept is None:
            continue  # reading it as a photo says what is wrong
        shape = kept.shape if kept.orientation < 5 else kept.shape[::-1]
        place = read_georeference(sample.image)
        is_raster = place is not None and not kept.is_photo
        job = _job(sample, shape, place, is_raster, contract, args)
        if job.streamed or not job.tiling.fits:
            jobs[sample.name] = job
    return jobs


def _job(sample, shape, place, is_raster, contract, args):
    resolution = place and place.resolution(shape)
    factors = scales(contract, resolution, args.scale)
    tiling = Tiling(shape, factors, contract["size"], args.overlap)
    large = np.prod(shape, dtype=float) > _MOST_WHOLE
    wanted = sample.masks is not None or args.annotations is not None
    pictured = is_raster or (max(shape) > _PICTURE and not tiling.fits)
    return Job(
        sample,
        tiling,
        is_raster or (large and not tiling.fits),
        pictured,
        wanted or not large,
        ".tif" if is_raster else ".png",
    )


class Extras:
    """What a scene is turned into besides masks, while it streams.

    Pictures of its prediction; polygons, if ``args.layer`` names a kind of
    file; scores and a picture of the errors, if there is ``args.truth``.

    Args:
        jobs: dict of ``Job`` by name.
        samples: list of all ``unet.files.folders.Sample``.
        classes: foreground class names.
        args: with ``layer``, ``longitude_latitude``, ``truth`` and what
            ``unet.prediction.map_layer`` asks of outlines.

    Attributes:
        summary: of the scene with a truth, when it is predicted.
        notes: lines about the files.

    Raises:
        DataError: options that these images have no place for.
    """

    def __init__(self, jobs, samples, classes, args):
        self.classes, self.args = classes, args
        self.summary, self.notes = None, []
        for name in ("layer", "truth"):
            wanted = getattr(args, name)
            photo = [one for one in samples if one.name not in jobs]
            if wanted and photo:
                raise DataError(
                    f"{photo[0].image}: expected a scene for --{name}, found "
                    "an image that the network sees at once. Predict it "
                    "without, for instance with --annotations geojson."
                )
        self._truth = None
        if args.truth:
            if len(samples) > 1 or samples[0].masks is not None:
                raise DataError(
                    f"{args.truth}: expected one scene without masks of its "
                    f"own for --truth, found {len(samples)} image(s). Predict "
                    "one at a time."
                )
            self._truth = open_truth(args.truth, samples[0].image, classes)

    def files(self, job, place):
        """Every file that is made of a scene."""
        files = [self._layer_path(job, place)] if self.args.layer else []
        if self.is_drawn(job):
            kinds = ["overlay", "uncertain", *["errors"] * bool(self._truth)]
            files += [place / f"{job.sample.name}_{kind}.png" for kind in kinds]
        return files

    def is_drawn(self, job):
        """Whether a scene's pictures are made here."""
        return job.pictured or self._truth is not None

    def _layer_path(self, job, place):
        return place / f"{job.sample.name}.{self.args.layer}"

    def consumers(self, job, scene, place):
        """Context managers with ``add(strip)`` for a scene.

        Args:
            job: ``Job``.
            scene: ``unet.imagery.rasters.Scene``.
            place: directory to write to.
        """
        where = (None, None)
        if scene.place is not None:
            where = scene.place.crs, scene.place.transform
        made = []
        if self.is_drawn(job):
            made.append(self._drawing(job, scene, place, where))
        if self.args.layer:
            made.append(self._layer(job, scene, place, where))
        return made

    @contextmanager
    def _layer(self, job, scene, place, where):
        args = self.args
        path = self._layer_path(job, place)
        with Layer(
            path,
            scene.shape,
            self.classes,
            *where,
            args.longitude_latitude,
            args.tolerance,
            args.smallest,
            args.square,
        ) as layer:
            yield layer.add
        self.notes.append(f"{path.name}: {layer.count} polygons")

    @contextmanager
    def _drawing(self, job, scene, place, where):
        """Pictures, and scores, of one scene."""
        from unet.prediction.overview import Overview  # Keras is slow to import
        from unet.scoring.scores import SceneScores

        name, shape, truth = job.sample.name, scene.shape, self._truth
        window = round(job.tiling.size[1] * shape[1] / job.tiling.shape[1])
        window = max(1, min(window, *shape))
        view = Overview(place, name, shape, self.classes, *where, window)
        scores = SceneScores(shape, self.classes) if truth else None

        def add(strip):
            rows = truth and truth.rows(strip.top, len(strip.ids))
            view.add(strip, rows)
            if scores:
                scores.add(strip, rows)

        yield add
        view.close()
        if scores:
            scores.close()
            self.summary = scores.summary()
            truth.close()


class Scenery:
    """Predicts scenes, and keeps what is finished until all of them are.

    What an interrupted prediction has finished lies in hidden directories
    beside the results, named after scenes and settings; another one with the
    same settings goes on there. The results get their names at the end.

    Args:
        model: of ``unet.network.model``.
        contract: of the model.
        jobs: dict of ``Job`` by name.
        args: the options of test.py.
        extras: ``Extras``.
        bar: function ``(total, title)`` that makes a ``tqdm`` bar.

    Attributes:
        seconds: of the predictions, all in all.
        inside: of these, in the network.
        pixels: predicted, of the scenes' own.
        resumed: whether some of it was finished before.
    """

    def __init__(self, model, contract, jobs, args, extras, bar):
        self.model, self.contract, self.jobs = model, contract, jobs
        self.args, self.extras, self.bar = args, extras, bar
        self.seconds = self.inside = 0.0
        self.pixels, self.resumed = 0, False
        self._digest = hashlib.sha256(args.model.read_bytes()).hexdigest()

    def work(self, job):
        """The directory of what is finished of a scene."""
        state = job.sample.image.stat()
        settings = (
            *(self._digest, state.st_size, state.st_mtime_ns),
            *(job.tiling.shape, self.args.overlap, self.args.flips),
            self.args.bands,
        )
        digest = hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
        return self.args.out / f".{job.sample.name}.{digest}"

    def place(self, job):
        """Where the files of a scene are written first."""
        return self.work(job) if job.streamed else self.args.out

    def predictions(self):
        """Predict all scenes.

        Yields:
            ``unet.prediction.photos.Prediction`` of those that are held whole.

        Raises:
            DataError: a scene is damaged, or its truth.
        """
        for job in self.jobs.values():
            one = self._predicted(job)
            if one is not None:
                yield one

    def _predicted(self, job):
        if not job.streamed:
            image = read_image(job.sample.image, self.args.bands)
            return self._through(job, Scene.of_array(image), None)
        work = self.work(job)
        work.mkdir(parents=True, exist_ok=True)
        try:
            with Scene(job.sample.image, self.args.bands) as scene:
                return self._through(job, scene, work)
        except ValueError:  # DataError: nothing to go on with
            shutil.rmtree(work)
            raise

    def _through(self, job, scene, work):
        """Predict one scene into its files."""
        sample, args, classes = job.sample, self.args, self.contract["classes"]
        begun = time.monotonic()
        whole = None
        if job.whole:
            whole = _Whole(scene.shape, self.model.output_shape[-1])
        bar = self.bar(job.tiling.tiles, sample.name)

        def watch(tiles, seconds):
            # Finished before: it says nothing of the speed.
            if not seconds:
                self.resumed = True
                if not bar.disable:
                    bar.initial += tiles
            bar.update(tiles)
            self.inside += seconds

        with bar, ExitStack() as stack:
            place = self.place(job)
            adding = [
                stack.enter_context(one)
                for one in self.extras.consumers(job, scene, place)
            ]
            if work:
                adding += files_of_strips(
                    stack, work, sample.name, scene, classes,
                    args.probability, job.ending,
                )  # fmt: skip
            if whole:
                adding.append(whole.add)
            for strip in strips(
                self.model,
                scene,
                job.tiling,
                args.threshold,
                self.contract.get("preprocessing", {}).get("contrast", "none"),
                args.flips,
                work and work / "probabilities",
                watch,
            ):
                for add in adding:
                    add(strip)
        self.seconds += time.monotonic() - begun
        self.pixels += int(np.prod(scene.shape))
        if not whole:
            return None
        truth = None
        if sample.masks is not None:
            truth = read_class_ids(sample, classes, scene.shape)
        return Prediction(
            sample.name, whole.image, truth, whole.ids, whole.probability
        )

    def report(self):
        """How fast it was, in words."""
        if self.resumed:
            return (
                f"{self.pixels / 1e6:.1f} million pixels of scenes, some of "
                "them in an earlier call"
            )
        speed = self.pixels / self.seconds
        return (
            f"{self.pixels / 1e6:.1f} million pixels of scenes, "
            f"{speed / 1e6:.2f} million a second; "
            f"{self.inside / self.seconds:.0%} of the time in the network"
        )

    def finish(self):
        """Give all results their names, and remove all else."""
        for job in self.jobs.values():
            if not job.streamed:
                continue
            work = self.work(job)
            (work / "probabilities").unlink(missing_ok=True)
            for path in sorted(work.iterdir()):
                if not path.name.startswith("."):
                    path.replace(self.args.out / path.name)
            # Of other settings too.
            pattern = f".{glob.escape(job.sample.name)}.{'[0-9a-f]' * 12}"
            for left in self.args.out.glob(pattern):
                shutil.rmtree(left)


class _Whole:
    """The strips of a scene as whole arrays."""

    def __init__(self, shape, channels):
        self.image = np.empty((*shape, 3), np.uint8)
        self.ids = np.empty(shape, np.uint8)
        self.probability = np.empty((*shape, channels), np.float32)

    def add(self, strip):
        rows = slice(strip.top, strip.top + len(strip.ids))
        self.image[rows] = strip.image
        self.ids[rows] = strip.ids
        self.probability[rows] = strip.probability
