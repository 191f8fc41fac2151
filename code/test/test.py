"""Images and a trained model to masks, overlays, a contact sheet, scores."""

import json
from functools import partial
from itertools import chain
from pathlib import Path

from unet.annotations.formats import WRITERS
from unet.annotations.writing import Annotated
from unet.files.atomic import refuse_existing, write_text
from unet.files.errors import DataError
from unet.files.folders import Sample, class_names, find_samples, list_images
from unet.network.contract import read_contract
from unet.prediction.results import Extras, Scenery, find_scenes
from unet.prediction.sinks import mask_files, probability_files, write_photo
from unet.terminal import cli, reading_options


def threshold(text):
    """An argparse type: a probability, or "best"."""
    return text if text == "best" else cli.number(float, 0, 1)(text)


def read_arguments():
    parser = cli.new_parser(
        "The result is one mask per image, OUT/NAME.png with 0 and 255 and "
        "the size of the image, OUT/NAME_overlay.png to look at, "
        "OUT/contact_sheet.png, and OUT/scores.json where the truth is known; "
        "with --annotations also polygons to edit, in OUT/annotations. An "
        "image larger than the network's input is seen at the scale of the "
        "training images, through overlapping windows. The mask of a "
        "georeferenced raster is a GeoTIFF, OUT/NAME.tif. What was "
        "interrupted goes on when it is started again.",
        [
            "python code/test/test.py",
            "python code/test/test.py code/test/test_128 --out predictions/few",
            "python code/test/test.py my/photos photo.jpg --model my.keras",
            "python code/test/test.py --annotations labelme --square",
            "python code/test/test.py my/scene.tif --layer gpkg --square",
        ],
    )
    add = parser.add_argument
    add(
        "images",
        nargs="*",
        type=Path,
        default=[cli.DATA / "test"],
        help="image files, directories of images, or Folder_n trees",
    )
    add("--model", type=Path, default=cli.MODEL, help="a trained model")
    add(
        "--threshold",
        type=threshold,
        default=0.5,
        help="probability from which on a pixel is of the class, or 'best': "
        "where the IoU of the model's validation images was best",
    )
    add(
        "--flips",
        action="store_true",
        help="the mean over all flips and quarter turns of each image: a "
        "little better, eight times slower",
    )
    add(
        "--probability",
        choices=("8bit", "float"),
        help="also write the probabilities, OUT/NAME_probability: 8bit has 0 "
        "to 255 in a PNG, 0 to 254 in a GeoTIFF (255: no data); float is a "
        "TIFF of 0 to 1",
    )
    add(
        "--scale",
        type=cli.number(float, 0.001, 1000),
        help="how many pixels of the network's input a pixel of the image is "
        "(default: as in training, on the ground if both are georeferenced)",
    )
    add(
        "--overlap",
        type=cli.number(float, 0, 0.9),
        default=0.5,
        help="share of a window that the next one covers too",
    )
    reading_options.add_bands(parser)
    add(
        "--annotations",
        choices=WRITERS,
        help="write the masks as polygons for this tool too",
    )
    add(
        "--layer",
        choices=("geojson", "gpkg"),
        help="write the objects of a scene as a map layer too, OUT/NAME.gpkg, "
        "with area and probability",
    )
    add(
        "--longitude-latitude",
        action="store_true",
        help="of the layer, instead of the scene's own reference system",
    )
    add(
        "--truth",
        type=Path,
        metavar="FILE",
        help="of one scene, a mask or polygons: for its scores, and a picture "
        "of the errors",
    )
    add(
        "--tolerance",
        metavar="PIXELS",
        type=cli.number(float, 0, 100),
        default=0.5,
        help="how far from a polygon's outline the centre of a pixel on its "
        "wrong side may be; 0 gives back the masks exactly",
    )
    add(
        "--smallest",
        metavar="AREA",
        type=cli.number(float, 0),
        default=0,
        help="pixels below which an instance gets no polygon",
    )
    add(
        "--square",
        action="store_true",
        help="polygons with right angles, where that fits: for buildings",
    )
    add(
        "--out", type=Path, default=Path("predictions"), help="output directory"
    )
    add("--overwrite", action="store_true", help="replace what is in --out")
    add("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args()


def collect(sources):
    """Everything to predict, as samples; plain images have no truth."""
    samples = []
    for source in sources:
        images = list_images(source) if source.is_dir() else [source]
        if source.is_dir() and not images:
            samples += find_samples(source)
        else:
            samples += [Sample(path.stem, path, None) for path in images]
    seen = {}
    for sample in samples:
        if sample.name in seen:
            raise DataError(
                f"{sample.image}: {seen[sample.name]} has the same name but "
                "for its directory or ending, and so would its mask. Rename "
                "one, or predict them into two directories."
            )
        seen[sample.name] = sample.image
    return samples


def result_files(out, samples, jobs, classes, writer, kind, extras):
    """Every file that a prediction writes."""
    files = []
    if writer:
        files += writer.files([sample.name for sample in samples])
    has_truth = any(sample.masks is not None for sample in samples)
    if has_truth or extras.args.truth:
        files.append(out / "scores.json")
    for sample in samples:
        job = jobs.get(sample.name)
        if job:
            files += extras.files(job, out)
        ending = job.ending if job else ".png"
        files += mask_files(out, sample.name, classes, ending)
        files += probability_files(out, sample.name, classes, kind, ending)
        if job is None or not extras.is_drawn(job):
            files.append(out / f"{sample.name}_overlay.png")
    if is_shown(samples, jobs):
        files.append(out / "contact_sheet.png")
    twice = len(files) - len(set(files))
    if twice:
        raise DataError(
            f"{out}: {twice} result(s) would have the name of another one. "
            "Rename the images, or predict them into two directories."
        )
    return files


def is_shown(samples, jobs):
    """Whether anything is held whole, for the contact sheet."""
    return len(samples) > sum(not job.whole for job in jobs.values())


def check_classes(samples, classes, model):
    """Raise DataError if the truth has classes that the model cannot tell."""
    known = [sample for sample in samples if any((sample.masks or {}).values())]
    unknown = set(class_names(known)) - set(classes) if known else set()
    if unknown:
        raise DataError(
            f"{model}: this model was made for {', '.join(classes)}, but the "
            f"folders have masks of {', '.join(sorted(unknown))}. Give the "
            "model that was trained on these classes."
        )


def best_threshold(contract, model):
    """The threshold that the model keeps.

    Raises:
        DataError: it has none.
    """
    best = contract.get("best_threshold")
    if best is None:
        raise DataError(
            f"{model}: this model has no best threshold; several classes "
            "need none, and an interrupted training has not chosen one. Give "
            "--threshold a number."
        )
    print(f"threshold {best:g}, chosen on the model's validation images")
    return best


def main():
    args = read_arguments()
    samples = collect(args.images)
    contract = read_contract(args.model)
    classes = contract["classes"]
    if args.threshold == "best":
        args.threshold = best_threshold(contract, args.model)
    contrast = contract.get("preprocessing", {}).get("contrast", "none")
    check_classes(samples, classes, args.model)
    jobs = find_scenes(samples, contract, args)
    # They take longest: what is interrupted should not begin with the others.
    samples.sort(key=lambda sample: sample.name not in jobs)
    writer = None
    if args.annotations:
        place = args.out / "annotations"
        writer = WRITERS[args.annotations](place, classes)
    extras = Extras(jobs, samples, classes, args)
    files = result_files(
        args.out, samples, jobs, classes, writer, args.probability, extras
    )
    refuse_existing(files, args.overwrite)

    # Keras takes seconds to import: bad input is told before.
    from unet.network.model import load
    from unet.pictures import figures
    from unet.prediction.photos import predict_samples
    from unet.scoring import scores

    model = load(args.model)
    scenery = Scenery(
        model, contract, jobs, args, extras, partial(cli.tile_bar, args.quiet)
    )
    photos = [sample for sample in samples if sample.name not in jobs]
    predictions = predict_samples(
        model, photos, classes, args.threshold, contrast, args.flips, args.bands
    )
    if photos:
        progress = cli.progress_bar(args.quiet)
        predictions = progress(predictions, len(photos), "Predicting")
    predictions = chain(scenery.predictions(), predictions)
    predictions = written(predictions, scenery)
    if writer:
        predictions = annotated(predictions, writer, samples, args)
    resumes = any(job.streamed for job in jobs.values())
    advice = "The same command goes on with the scene." if resumes else ""
    with cli.when_interrupted(advice):
        counted, examples = scores.evaluate(predictions, len(samples), classes)
    scenery.finish()
    if writer:
        writer.close()
    print(f"{len(samples)} masks -> {cli.short_path(args.out)}")
    for line in [scenery.report(), *extras.notes] if jobs else []:
        print(f"  {line}")
    if writer:
        print(f"  polygons: {cli.short_path(writer.out)}")
    if examples:
        sheet = figures.contact_sheet(examples, len(samples))
        figures.save_figure(sheet, args.out / "contact_sheet.png")
    summary = counted.summary() if counted.names else extras.summary
    if summary:
        result = {
            "model": args.model.name,
            "threshold": args.threshold,
            "flips": args.flips,
            **summary,
            "per_image": counted.per_image() if counted.names else None,
        }
        text = json.dumps(result, indent=2) + "\n"
        write_text(args.out / "scores.json", text)
        print("\n".join(scores.table(summary)))
    if examples:
        cli.show(args.out / "contact_sheet.png")


def written(predictions, scenery):
    """Write the masks and the overlay of each prediction, and pass it on."""
    from unet.pictures.overlay import write_overlay

    args, classes = scenery.args, scenery.contract["classes"]
    for one in predictions:
        job = scenery.jobs.get(one.name)
        place = scenery.place(job) if job else args.out
        if not (job and job.streamed):
            write_photo(one, place, classes, args.probability)
        if not (job and scenery.extras.is_drawn(job)):
            path = place / f"{one.name}_overlay.png"
            write_overlay(path, one.image, one.ids)
        yield one


def annotated(predictions, writer, samples, args):
    """Write the polygons of each prediction, and pass it on."""
    from unet.geometry.polygons import class_outlines

    for sample, one in zip(samples, predictions, strict=True):
        found = class_outlines(
            one.ids,
            writer.classes,
            one.probability,
            tolerance=args.tolerance,
            smallest=args.smallest,
            square=args.square,
        )
        shape = one.ids.shape
        writer.add(Annotated(one.name, sample.image, shape, found))
        yield one


if __name__ == "__main__":
    cli.run(main)
