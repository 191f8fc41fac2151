"""A trained model to a file that runs without Keras, and says the same."""

from pathlib import Path

from unet.network.export_formats import FORMATS, SAVED_MODEL, check_packages
from unet.terminal import cli


def read_arguments():
    parser = cli.new_parser(
        "The result is the model in another format, beside it or at OUT, for "
        "images of any number and size. Before it gets its name both predict "
        "the same images: if probabilities differ by more than 0.0001, or "
        "pixels of the mask that are not near the threshold, nothing is "
        "written and the exit code is 1. test.py predicts with the result as "
        "with the model, but for that of saved_model.",
        [
            "python code/test/export.py --format onnx --out runs/shipped.onnx",
            "python code/test/export.py my.keras --format litert",
            "python code/test/export.py my.keras --images my/images",
        ],
    )
    add = parser.add_argument
    add(
        "model",
        nargs="?",
        type=Path,
        help="a trained model (default: the one that the last training wrote, "
        "code/test/unet.keras, else the one that comes with the project, "
        "code/test/buildings.keras)",
    )
    add(
        "--format",
        choices=FORMATS,
        default="onnx",
        help="; ".join(f"{k}: {v.files}" for k, v in FORMATS.items()),
    )
    add(
        "--out",
        type=Path,
        help="file, or directory of saved_model, instead of NAME beside the "
        "model",
    )
    add(
        "--images",
        nargs="+",
        type=Path,
        default=[cli.DATA / "test"],
        help="image files, directories of images, or Folder_n trees that both "
        "predict",
    )
    add("--overwrite", action="store_true", help="replace an older export")
    add("--quiet", action="store_true", help="no progress bar")
    args = parser.parse_args()
    args.model = args.model or cli.default_model()
    return args


if __name__ == "__main__":
    # Before what takes time to import: --help is answered at once.
    cli.one_line_errors()
    args = read_arguments()

from unet.files.atomic import new_entries, refuse_existing
from unet.files.errors import DataError
from unet.files.folders import collect_samples
from unet.network.archive import saved_on
from unet.network.contract import read_contract
from unet.prediction import parity


def image_paths(sources):
    """The images that both networks predict."""
    samples, refused = collect_samples(sources)
    if not samples:
        raise DataError(refused[0])
    return [sample.image for sample in samples]


def place(args, ending):
    """Where the export goes."""
    if args.out is None:
        name = args.model.stem
        name += ending or f"_{args.format}"
        return args.model.with_name(name)
    if args.out.suffix.lower() != ending:
        raise DataError(
            f"{args.out}: expected a name that ends in "
            f"{ending or 'nothing, of a directory'} for {args.format}, found "
            f"{args.out.suffix or 'no ending'}. Give another --out."
        )
    return args.out


def main(args):
    contract = read_contract(args.model)
    chosen = FORMATS[args.format]
    out = place(args, chosen.ending)
    names = chosen.names(out)
    refuse_existing([out.parent / name for name in names], args.overwrite)
    check_packages(args.format)
    paths = image_paths(args.images)
    # Keras takes seconds to import: bad input is told before.
    from unet.network.exported import Exported
    from unet.network.exporting import export
    from unet.network.model import any_size, joined, load

    model = load(args.model)
    day = saved_on(args.model)
    print(f"writing {cli.short_path(out)}: this takes a minute")
    with new_entries(
        out.parent, names, [args.model], args.overwrite, known=SAVED_MODEL
    ) as stage:
        target = stage / out.name
        written = export(model, target, args.format, contract, day)
        batches = cli.progress_bar(args.quiet)(
            parity.batches(paths, contract),
            parity.count_batches(paths),
            "Comparing",
        )
        result = parity.compare(
            any_size(joined(model)),
            Exported(target),
            batches,
            contract.threshold,
            contract.classes,
        )
        report(result, args.format)
        if not result.holds:
            raise SystemExit(1)
    for name in written:
        print(f"  {cli.short_path(out.parent / name)}")


def report(result, name):
    """Print what the comparison has found."""
    before, after = result.speeds
    print(
        f"  {result.images} images: largest difference {result.largest:.1e} "
        f"(at most {parity.MOST:.0e})"
    )
    print(
        f"  {result.differing:,} of {result.pixels:,} mask pixels differ, "
        f"{result.far:,} of them further from the threshold than "
        f"{parity.NEAR:g}"
    )
    print(f"  images a second: Keras {before:.1f}, {name} {after:.1f}")
    if not result.holds:
        print("  not written: it does not say the same as the model")


if __name__ == "__main__":
    main(args)
