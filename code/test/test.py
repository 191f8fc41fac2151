"""Images and a trained model to masks, overlays, a contact sheet, scores."""

from pathlib import Path

from unet.annotations.formats import WRITERS
from unet.files.virtual import path_of
from unet.network.export_formats import ENDINGS
from unet.terminal import cli
from unet.terminal.band_options import add_bands_to_predict
from unet.terminal.sharing_options import add_sharing, check_sharing


def threshold(text):
    """An argparse type: a probability, or "best"."""
    return text if text == "best" else cli.number(float, 0, 1)(text)


def separation(text):
    """An argparse type: a height in pixels, or "off"."""
    return text if text == "off" else cli.number(float, 0.01, 1000)(text)


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
            "python code/test/test.py my/scenes.txt --workers 4",
        ],
    )
    parser.add_argument(
        "images",
        nargs="*",
        type=path_of,
        default=[cli.DATA / "test"],
        help="image files, directories of images, Folder_n trees, or lists: "
        "text files that end in .txt, with one path a line; also addresses "
        "that GDAL reads, such as s3://bucket/scene.tif",
    )
    add_common(parser.add_argument_group("most people need"))
    add_views(parser.add_argument_group("how the network sees an image"))
    add_results(parser.add_argument_group("more results"))
    add_outlines(parser.add_argument_group("polygons"))
    add_sharing(parser.add_argument_group("many scenes"))
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args()
    if args.colours and not (args.palette or args.truth):
        parser.error(
            "argument --colours: expected --palette or --truth beside it, "
            "whose colours they are"
        )
    check_sharing(parser, args)
    args.model = args.model or cli.default_model()
    if args.adapt and args.model.suffix.lower() in ENDINGS:
        parser.error(
            "argument --adapt: expected a .keras model, found "
            f"{args.model.name}, whose statistics are fixed"
        )
    return args


def add_common(group):
    """The options that most people need."""
    add = group.add_argument
    add(
        "--model",
        type=Path,
        help="a trained model, or what export.py made of one: .onnx, .xml or "
        ".tflite (default: the one that the last training wrote, "
        "code/test/unet.keras, else the one that comes with the project, "
        "code/test/buildings.keras)",
    )
    add(
        "--out", type=Path, default=Path("predictions"), help="output directory"
    )
    add("--overwrite", action="store_true", help="replace what is in --out")
    add(
        "--threshold",
        type=threshold,
        default=0.5,
        help="probability from which on a pixel is of the class, or 'best': "
        "where the IoU of the model's validation images was best",
    )
    add(
        "--annotations",
        choices=WRITERS,
        help="write the masks as polygons for this tool, to correct them",
    )
    add(
        "--layer",
        choices=("geojson", "gpkg"),
        help="write the objects of a scene as a map layer, OUT/NAME.gpkg, "
        "with area and probability",
    )


def add_views(group):
    """What the network sees of an image, and how often."""
    add = group.add_argument
    add(
        "--scale",
        type=cli.number(float, 0.001, 1000),
        help="pixels of the network's input for each pixel of the image "
        "(default: as in training, on the ground if both are georeferenced)",
    )
    add(
        "--overlap",
        type=cli.number(float, 0, 0.9),
        help="share of a window of the network's own size that the next one "
        "covers too; 0.5 is four times the work for little or nothing "
        "(default: larger windows that share 64 pixels)",
    )
    add(
        "--flips",
        action="store_true",
        help="take the mean over all flips and quarter turns of each image: "
        "a little better, eight times slower",
    )
    add(
        "--adapt",
        metavar="SHARE",
        type=cli.number(float, 0.01, 1),
        help="for a place that the model has not seen: the share by which "
        "batch normalisation goes over to the statistics of these images, 16 "
        "or more. 0.25 helped at three of five such places and did no harm at "
        "the others; where the model has learned it harms. Compare both masks "
        "in OUT/adapted.png",
    )
    add_bands_to_predict(group)


def add_results(group):
    """Results beside masks and overlays."""
    add = group.add_argument
    add(
        "--probability",
        choices=("8bit", "float"),
        help="write the probabilities too, OUT/NAME_probability: 8bit has 0 "
        "to 255 in a PNG, 0 to 254 in a GeoTIFF (255: no data); float is a "
        "TIFF of 0 to 1",
    )
    add(
        "--palette",
        action="store_true",
        help="write one mask of all classes too, OUT/palette/NAME: the "
        "classes are 1, 2, ..., the background is 0, each with its colour",
    )
    add(
        "--colours",
        metavar="TABLE",
        help="colours of the masks of all classes, and of a truth that has "
        "colours, in the form that polygon_to_mask.py takes: "
        "3C1098=building,6EC1E4=road, or a table with the columns class and "
        "colour, or CVAT's labelmap.txt (default: those of the overlays)",
    )
    add(
        "--truth",
        type=Path,
        metavar="FILE",
        help="a mask or polygons of one scene: gives its scores and a picture "
        "of the errors",
    )
    add(
        "--longitude-latitude",
        action="store_true",
        help="coordinates of --layer, instead of the scene's own reference "
        "system",
    )


def add_outlines(group):
    """How polygons are drawn round the masks."""
    add = group.add_argument
    add(
        "--separate",
        metavar="off|HEIGHT",
        type=separation,
        help="how objects that touch come apart in polygons, layers, overlays "
        "and the object score; masks do not change. HEIGHT: pixels of the "
        "network's input that an object rises above the waist beside it; "
        "regions that are nowhere so high are no objects (default: as the "
        "model's file says)",
    )
    add(
        "--square",
        action="store_true",
        help="draw right angles where that fits: for buildings",
    )
    add(
        "--tolerance",
        metavar="PIXELS",
        type=cli.number(float, 0, 100),
        default=0.5,
        help="how far from an outline the centre of a pixel on its wrong side "
        "may be; 0 gives back the masks exactly",
    )
    add(
        "--smallest",
        metavar="AREA",
        type=cli.number(float, 0),
        default=0,
        help="pixels below which an object gets no polygon",
    )


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args = read_arguments()

from unet.annotations.colours import parse_colours
from unet.files.claims import claim
from unet.files.errors import DataError, printable
from unet.files.folders import class_names, collect_samples
from unet.files.memory import return_freed_memory
from unet.geometry.outlining import Outlining
from unet.network.archive import saved_on
from unet.network.contract import read_contract
from unet.network.exported import Exported
from unet.prediction.jobs import Job
from unet.prediction.outputs import (
    CONFUSION,
    CONTACT_SHEET,
    Outputs,
    Wanted,
)
from unet.prediction.palette import FOLDER as PALETTES
from unet.prediction.run import Workplace, run
from unet.prediction.separation import Separation
from unet.prediction.stream import find_sources, usable_sources
from unet.prediction.strip import Settings, bands_of
from unet.terminal.sharing import Engine, predict_shared

# Picture of what --adapt changes, and how many views it shows.
ADAPTED, ADAPTED_SHOWN = "adapted.png", 12


def collect(sources):
    """Everything to predict, as samples; plain images have no truth.

    Returns:
        (samples, list of sentences: what is wrong with other folders).
    """
    samples, refused = collect_samples(sources)
    seen = {}
    for sample in samples:
        if sample.name in seen:
            raise DataError(
                f"{sample.image}: {seen[sample.name]} has the same name but "
                "for its directory or ending, and so would its mask. Rename "
                "one, or predict them into two directories."
            )
        seen[sample.name] = sample.image
    if refused and not samples:
        raise DataError(refused[0])
    return samples, refused


def introduction(path, contract, day):
    """Which model it is, trained on what and when: one line."""
    title = contract.notes.get("title", ", ".join(contract.classes))
    images = f"{contract.data['images']:,} images" if contract.data else "data"
    return (
        f"model: {cli.short_path(path)} ({title}), trained on {images}, {day}"
    )


def introduce(path, contract, day, settings):
    """Print it, and what the model sees of the images."""
    print(introduction(path, contract, day))
    for line in settings.bands.lines():
        print(f"  {line}")


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
    best = contract.best_threshold
    if best is None:
        raise DataError(
            f"{model}: this model has no best threshold; several classes "
            "need none, and an interrupted training has not chosen one. Give "
            "--threshold a number."
        )
    print(f"threshold {best:g}, chosen on the model's validation images")
    return best


def settings_of(args, contract):
    """How the images are predicted."""
    threshold = args.threshold
    if threshold == "best":
        threshold = best_threshold(contract, args.model)
    return Settings(
        threshold=threshold,
        contrast=contract.preprocessing.contrast,
        flips=args.flips,
        bands=bands_of(contract.preprocessing, args.bands),
        scale=args.scale,
        overlap=args.overlap,
    )


def separation_of(args, contract):
    """How objects that touch come apart."""
    heights = contract.separation
    if args.separate == "off":
        heights = {}
    elif args.separate is not None:
        heights = dict.fromkeys(contract.classes, args.separate)
    return Separation(tuple(contract.size), heights)


def outputs_of(args, sources, contract):
    """What is made of the predictions."""
    classes = contract.classes
    wanted = Wanted(
        probability=args.probability,
        layer=args.layer,
        longitude_latitude=args.longitude_latitude,
        outlining=Outlining(args.tolerance, args.smallest, args.square),
        truth=args.truth,
        separation=separation_of(args, contract),
        palette=args.palette,
        colours=parse_colours(args.colours) if args.colours else None,
    )
    writer = None
    if args.annotations:
        place = args.out / "annotations"
        writer = WRITERS[args.annotations](place, classes)
    return Outputs(args.out, sources, classes, wanted, writer)


def load(path):
    """The Keras model of a file."""
    from unet.network import model

    return model.load(path)


def adapt(model, samples, contract, settings, args):
    """Bring the model nearer to these images, and show what that changes."""
    from unet.pictures import figures
    from unet.prediction import adaptation

    if not adaptation.normalising(model):
        raise DataError(
            f"{args.model}: this model has no batch normalisation, so that "
            "there is nothing to adapt. Leave --adapt out, or train a model "
            "that has it."
        )
    views = adaptation.views(samples, contract, settings)
    shown = views[:ADAPTED_SHOWN]
    before = adaptation.masks_of(model, shown, settings)
    adaptation.adapt(model, views, args.adapt)
    after = adaptation.masks_of(model, shown, settings)
    pictures = [settings.bands.picture(view) for view in shown]
    figure = figures.before_and_after(pictures, before, after)
    figures.save_figure(figure, args.out / ADAPTED)
    return (
        f"statistics of {len(views)} views of these images by a share of "
        f"{args.adapt:g}: compare both masks in "
        f"{cli.short_path(args.out / ADAPTED)}"
    )


def main(args):
    samples, refused = collect(args.images)
    exported = None
    if args.model.suffix.lower() in ENDINGS:
        exported = Exported(args.model)
    contract = exported.contract if exported else read_contract(args.model)
    day = exported.saved_on if exported else saved_on(args.model)
    settings = settings_of(args, contract)
    check_classes(samples, contract.classes, args.model)
    if args.workers or args.dask:
        introduce(args.model, contract, day, settings)
        share(args, contract, settings, samples, refused)
        return
    return_freed_memory()
    sources = find_sources(samples, contract, settings)
    outputs = outputs_of(args, sources, contract)
    files = outputs.files() + [args.out / ADAPTED] * bool(args.adapt)
    with claim(args.out, files, args.overwrite):
        introduce(args.model, contract, day, settings)
        speed, damaged = predict(
            args, exported, contract, sources, settings, outputs
        )
        summary = outputs.close(facts_of(args, settings, outputs))
    report(outputs, summary, speed, len(sources) - len(damaged))
    cli.end_with([*refused, *damaged])


def facts_of(args, settings, outputs):
    """What scores.json says of the run."""
    return {
        "model": args.model.name,
        "threshold": settings.threshold,
        "flips": settings.flips,
        "adapt": args.adapt,
        "separation": outputs.wanted.separation.heights,
    }


def share(args, contract, settings, samples, refused):
    """Predict scenes in several processes, see ``unet.prediction.jobs``.

    Args:
        refused: sentences that say what of the images given is none.
    """
    sources, wrong = usable_sources(samples, contract, settings)
    refused = refused + wrong
    if not sources:
        raise DataError(refused[0])
    outputs = outputs_of(args, sources, contract)
    job = Job(
        out=args.out,
        model=args.model,
        settings=settings,
        classes=tuple(contract.classes),
        wanted=outputs.wanted,
        annotated=outputs.writer is not None,
        shown=frozenset(outputs.shown),
    )
    facts = facts_of(args, settings, outputs)
    with cli.when_interrupted("The same command goes on with the scenes."):
        merged, speed = predict_shared(
            job,
            outputs,
            facts,
            Engine(args.workers, args.dask),
            overwrite=args.overwrite,
            quiet=args.quiet,
        )
    report(outputs, merged.summary, speed, merged.finished)
    cli.end_with([*refused, *merged.failed], code=1)


def predict(args, exported, contract, sources, settings, outputs):
    """Fill the outputs; see ``unet.prediction.run.run``.

    Args:
        exported: the model if it was exported, else None.
    """
    samples = [source.sample for source in sources]
    adapted_to = [args.adapt, *(str(sample.image) for sample in samples)]
    also = adapted_to if args.adapt else []
    workplace = Workplace(args.out, args.model, settings, also)
    resumes = any(source.streams for source in sources)
    advice = "The same command goes on with the scene." if resumes else ""
    with (
        cli.when_interrupted(advice),
        cli.PredictionBars(args.quiet, sources) as bars,
    ):
        # Keras takes seconds to import: bad input is told before, and the bar
        # of what comes first, a scene if there is one, is there meanwhile.
        bars.begin(min(sources, key=lambda source: source.is_photo))
        model = exported or load(args.model)
        if args.adapt:
            line = adapt(model, samples, contract, settings, args)
            outputs.notes.append(line)
        bars.restart()
        return run(model, sources, settings, outputs, workplace, bars)


def report(outputs, summary, speed, count):
    """Print what was made, and how good it is where that is known."""
    from unet.scoring.scores import table

    print(f"{count} masks -> {cli.short_path(outputs.out)}")
    for line in [*speed.lines(), *outputs.notes]:
        print(f"  {printable(line)}")
    if outputs.writer:
        print(f"  polygons: {cli.short_path(outputs.writer.out)}")
    if outputs.palette is not None:
        print(f"  palettes: {cli.short_path(outputs.out / PALETTES)}")
        colours = ["{:02X}{:02X}{:02X}".format(*c) for c in outputs.palette]
        named = zip(colours, ["", *outputs.classes], strict=True)
        table_text = ",".join(f"{colour}={name}" for colour, name in named)
        print(f"    to read them again: --colours '{table_text}'")
    if summary:
        print("\n".join(table(summary)))
    for picture in (CONFUSION, CONTACT_SHEET):
        if (outputs.out / picture).exists():
            cli.show(outputs.out / picture)


if __name__ == "__main__":
    main(args)
