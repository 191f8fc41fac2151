# %% [markdown]
# # Train a U-Net on your own images and masks
#
# A network that looks at an overhead image and says for every pixel: building,
# or not. Seven steps, each of them short: **analyse, prepare, create,
# compile, fit, evaluate, summary**. Run this file from a shell
# (`python code/train/train_unet.py --help`) or step through it as the notebook
# `train.ipynb`; the notebook is generated from this file.
#
# The data are folders with one image and the masks of its objects:
#
# ```
# data/train/Folder_1/images/Folder_1.png
#            Folder_1/masks/Folder_1_mask_1.png ... one file per building
# data/test/Folder_41/...
# ```
#
# All GPUs of a machine take part. On several machines, with JAX, the same
# command starts on each, with the number of its own as `--host`:
#
# ```
# KERAS_BACKEND=jax python code/train/train_unet.py prepared/data --hosts 2 \
#     --host 0 --coordinator ADDRESS_OF_HOST_0:7000 --model my.keras
# ```

# %%
from pathlib import Path

from unet.terminal import (
    cli,
    device_options,
    runs,
    training_options,
    watching,
)


def read_arguments():
    """The options of a shell; a notebook has the defaults."""
    parser = cli.new_parser(
        "The result is a trained U-Net (one .keras file), its scores on the "
        "test folders, and pictures of the data, the training and the "
        "predictions, in runs/<date-time>/.",
        [
            "python code/train/train_unet.py --dry-run",
            "python code/train/train_unet.py data --epochs 10 --seed 2",
            "python code/train/train_unet.py --recipe article --epochs 3",
        ],
    )
    parser.add_argument(
        "data",
        nargs="?",
        type=Path,
        default=cli.DATA,
        help="directory with train/ and, for the scores, test/",
    )
    training_options.add(parser)
    device_options.add(parser)
    add = parser.add_argument_group("files").add_argument
    add(
        "--model",
        type=Path,
        default=cli.MODEL,
        help="file that the best model is copied to",
    )
    add(
        "--overwrite",
        action="store_true",
        help="replace --model; otherwise the old one is kept beside it",
    )
    add(
        "--out",
        type=Path,
        help="directory of this run, instead of runs/<date-time>",
    )
    add(
        "--resume",
        type=Path,
        metavar="RUN",
        help="go on with an interrupted run, with the options it had",
    )
    add(
        "--dry-run",
        action="store_true",
        help="do everything for one step, and leave --model alone",
    )
    add(
        "--tensorboard",
        action="store_true",
        help="write losses, IoU, learning rate and a picture of predictions "
        "for TensorBoard after each epoch, in the run's directory",
    )
    add("--quiet", action="store_true", help="hide the progress bars")
    args = training_options.read(parser, [] if cli.in_notebook() else None)
    hosts = device_options.join(args)
    args = runs.resumed(args) if args.resume else args
    watching.check(args.tensorboard)
    runs.refuse_shipped(args.model)
    return args, hosts


if not cli.in_notebook():
    cli.one_line_errors()
args, hosts = read_arguments()

# %% [markdown]
# ## 1. Analyse
#
# Look at the data before anything is trained: how many images, how large, how
# many objects, what share of the pixels they cover. When one pixel in five is
# building, a network that answers "no building" everywhere is right four
# times out of five and useless. That is why the score of this task is not the
# accuracy but the **IoU**: the pixels that prediction and truth share, divided
# by the pixels that either of them covers.

# %%
from unet.files import splits
from unet.files.folders import check_classes, class_names, find_samples
from unet.files.splits import group_names
from unet.network import sizes
from unet.terminal import band_options
from unet.training import dataset, image_bands

size = (args.size, args.size)
sizes.check_size(size, args.depth)
progress = cli.progress_bar(args.quiet)

train_root, test_root = splits.find_sides(args.data)
train_folders = find_samples(train_root)
test_folders = find_samples(test_root) if test_root else []
train_samples = dataset.labelled(train_folders, train_root)
test_samples = [sample for sample in test_folders if sample.masks is not None]
classes = class_names(train_samples)
check_classes(test_samples, classes)
training_options.check_start(args.start_from, classes)
how = (size, classes, progress, args.contrast, args.objects)
train = dataset.load(train_samples, *how, band_options.numbers(args.bands))
test = test_samples and dataset.load(test_samples, *how, train.bands)
bands = image_bands.seen_bands(train, args.start_from)
args.bands = bands.text

for title, samples in (("training", train_folders), ("test", test_folders)):
    print(f"{title:>9}: {dataset.describe(samples)}")
sides = sorted({f"{w} x {h}" for h, w in train.shapes})
print(f"    sizes: {', '.join(sides[:4])}{' ...' if len(sides) > 4 else ''}")
for name, share in zip(
    ["background", *classes], train.class_shares(), strict=True
):
    print(f"   pixels: {share:6.1%} {name}")
if train.ignored_share():
    print(f"  ignored: {train.ignored_share():6.1%} of all pixels")
for line in bands.lines():
    print(f"    {line}")

# %% [markdown]
# The article's figure: an image, one of its instance masks, and all of them
# merged into the mask that the network learns.

# %%
from unet.pictures import figures

run = runs.start_run(args)
grid = figures.sample_grid(train_samples, classes, bands)
figures.save_figure(grid, run / "samples.png")
cli.show(run / "samples.png")

# %% [markdown]
# ## 2. Prepare
#
# Images and masks lie in two arrays, `X` (images x height x width x bands, the
# three of a photo or those of `--bands`) and `Y` (a class for every pixel). A
# tenth of the training folders is set aside: the **validation** images are
# never trained on and tell when to stop. Tiles of one neighbourhood share
# roofs, so a neighbourhood is kept on one side; validation would be too kind
# otherwise.

# %%
from unet.network.backend import set_random_seed
from unet.training import callbacks, fitting
from unet.training.batches import Batches
from unet.training.schedule import LearningRate

set_random_seed(args.seed)
devices = device_options.choose(args, train, hosts)
rule = args.group or splits.recorded_groups(args.data)
groups = group_names(train.names, rule)
fit_rows, validation_rows = splits.split_validation(
    groups, args.validation, train.has_object(), train.traits()
)
fit_rows = splits.some_of(fit_rows, args.images, args.seed)
print(
    f"{len(fit_rows)} images to learn from, {len(validation_rows)} to "
    f"validate, {len(set(groups))} groups"
)

# %% [markdown]
# From above no direction is special: each time an image is shown it is flipped
# or turned by quarters, and its mask with it (`--augment` does more, or
# nothing). Look at the versions before you train on them: would you still draw
# the same outlines?

# %%
import numpy as np

from unet.training.augmentation import Augmentation

augment = None
if args.augment != "none":
    augment = Augmentation(args.augment, bands)
    rng = np.random.default_rng(args.seed)
    grid = figures.augmented_grid(train.X, train.Y, augment, rng, bands)
    figures.save_figure(grid, run / "augmented.png")
    cli.show(run / "augmented.png")

# %% [markdown]
# ## 3. Create
#
# The U: on the way down the image gets smaller and the features get richer, on
# the way up the features are spread out into pixels again.
#
# * **Convolution and ELU.** A convolution looks at 3 x 3 pixels at a time. ELU
#   lets positive values through and bends negative ones towards -1. Unlike
#   ReLU it never goes flat at zero, so no neuron falls silent, and its
#   negative values keep the average near zero, which the next layer likes.
# * **he_normal.** The first weights are random. Drawn with a variance of 2 /
#   (number of inputs), signals neither fade nor explode on their way through
#   23 layers.
# * **Dropout.** In training it silences a random share of the values, so that
#   no neuron can rely on one other; the share falls to nothing towards the last
#   epoch. In prediction it does nothing, so the network must give the same
#   answer with noise and without. With pixels that are only divided by 255 it
#   does not: all inputs are positive, ELU after ELU carries the offset along,
#   and without the noise the outputs sink until the masks are black. Centring
#   the input (subtract the training set's mean, divide by its spread) cures
#   that; the layer is part of the network.
# * **Transposed convolution.** It turns each value into 2 x 2 pixels, with
#   weights that are learned, and so doubles height and width.
# * **Skip connection.** The way down forgets *where* things are. The fine maps
#   of the same level are handed across, and the edges of roofs become sharp.
# * **Sigmoid.** The last layer gives one number from 0 to 1 for every pixel.

# %%
from unet.network.model import (
    build_unet,
    convolutions,
    freeze_encoder,
    load,
)

mean, variance = fitting.input_statistics(
    train.X, fit_rows, args.normalisation, args.start_from, bands.limits
)
if args.start_from:
    model = load(args.start_from)
else:
    model = build_unet(
        size,
        classes,
        filters=args.filters,
        depth=args.depth,
        dropout=args.dropout,
        dropout_kind=args.dropout_kind,
        activation=args.activation,
        batch_norm=args.batch_norm,
        encoder=args.encoder,
        encoder_weights=args.encoder_weights,
        padding=args.padding,
        mean=mean,
        variance=variance,
        objects=args.objects,
        bands=bands.count,
        limits=bands.limits,
    )
if args.freeze:
    freeze_encoder(model)
print(
    f"{convolutions(model)} convolutional layers, "
    f"{fitting.count_weights(model):,} weights{' to train' * bool(args.freeze)}"
)

# %% [markdown]
# ## 4. Compile
#
# **Binary cross-entropy** asks for honest probabilities: being wrong costs
# more the surer the network was. **Adam** adapts the step of every single
# weight; the steps get smaller along a cosine, epoch by epoch. Gradients that
# are much longer than the others are shortened, so that a few strange images
# cannot throw the network back. Adam keeps a running mean of the weights
# besides: single steps are noisy, their mean is calm. The mean is what is
# validated and saved. Two kinds of IoU are watched: of the buildings, and the
# mean of buildings and background. The latter is always higher, because the
# background is large and easy.

# %%
from unet.network import losses
from unet.network.backend import has_half_precision
from unet.network.model import for_training

if args.mixed_precision and not has_half_precision():
    print("float32: mixed precision is slower, this processor has no bfloat16")
    args.mixed_precision = False
fading = args.dropout_kind == "fading"
model = for_training(model, fading, args.mixed_precision)
class_weights = losses.balanced(args.class_weights, train.class_shares())
model.compile(
    optimizer=fitting.optimizer(
        args.learning_rate,
        args.weights == "mean",
        args.clip_norm,
        args.weight_decay,
        args.mixed_precision,
    ),
    loss=devices.loss(
        losses.loss(
            args.loss,
            classes,
            class_weights,
            args.objects,
            ignoring=devices.ignoring or train.ignored_share() > 0,
        )
    ),
    metrics=fitting.metrics(classes, args.objects),
)

# %% [markdown]
# ## 5. Fit
#
# An epoch shows every image to the network; a small data set is shown several
# times, so that an epoch has about 40 steps. When the validation has not
# improved for `patience` epochs training stops, and the weights of the best
# epoch come back.

# %%
import time

own = {"instances": train.instances, "devices": devices}
batches = Batches(
    train.X, train.Y, fit_rows, args.batch_size, args.seed, augment, **own
)
validation = Batches(train.X, train.Y, validation_rows, 16, **own)
settings = training_options.settings_of(args)
contract = fitting.contract(
    train, settings, mean, variance, args.start_from, bands
)
checkpoint = callbacks.Checkpoint(
    model, run, contract, classes, args.patience, hosts
)
learning_rate = LearningRate(
    args.learning_rate, args.schedule, args.warm_up, args.epochs
)
first = checkpoint.resume(batches)
most = 1 if args.dry_run else args.epochs


def draw_curves():
    """Draw what the log holds so far."""
    names = ["loss", "mean_iou", checkpoint.monitor]
    figure = figures.curves(checkpoint.log(), names)
    figures.save_figure(figure, run / "curves.png")


started = time.monotonic()
advice = f"Go on with --resume {cli.short_path(run)}"
with cli.when_interrupted(advice), devices.training(model, validation):
    model.fit(
        batches,
        validation_data=validation,
        initial_epoch=first,
        epochs=first if checkpoint.out_of_patience else most,
        steps_per_epoch=1 if args.dry_run else None,
        validation_steps=1 if args.dry_run else None,
        shuffle=False,  # the batches do, in an order that can be resumed
        callbacks=[
            *callbacks.of_epochs(checkpoint, learning_rate, fading),
            *watching.callbacks(
                args.tensorboard, run, train, validation_rows, bands
            ),
            *checkpoint.callbacks(),
            callbacks.NowAndThen(draw_curves),
        ],
        verbose=cli.verbosity(args.quiet),
    )
seconds = time.monotonic() - started
print(f"best epoch: {checkpoint.best_epoch + 1} of {len(checkpoint.log())}")
cli.show(run / "curves.png")

# %% [markdown]
# ## 6. Evaluate
#
# From here on the saved model speaks, as it will for you. Its probabilities
# are brought back to the size of each image and cut at 0.5; the pixels of all
# images are counted together. Which **threshold** would have been best is told
# by the validation images, not by the test images: a threshold that was chosen
# on them would be praised for its own choice. The model keeps it
# (`code/test/test.py --threshold best`).
#
# Roofs that touch come out as one region. Where the network was less sure, or
# the region has a waist, it is cut into **objects**; the mask stays as it is.
# How deep a waist must be is chosen like the threshold, by the F1 score of the
# objects (a match covers half of the union with a true one). A class that is
# one mask in every image, such as a road, is a surface and is not cut.

# %%
from unet.prediction.separation import Separation
from unet.prediction.stream import predict_labelled
from unet.prediction.strip import Settings
from unet.scoring.calibration import Reliability
from unet.scoring.heights import HeightChoice, countable
from unet.scoring.objects import Objects
from unet.scoring.scores import Scores, table

model = load(run / "unet.keras")
how_to_predict = Settings(contrast=args.contrast, bands=bands)


def predictions_of(samples):
    """Name, truth and prediction of each sample."""
    made = predict_labelled(model, samples, classes, how_to_predict)
    return progress(made, len(samples), "Predicting")


def scale_of(strip):
    """Pixels of the network's input for a pixel of the image."""
    return np.sqrt(np.prod(size) / strip.ids.size)


reliability = {"validation": Reliability(classes), "test": Reliability(classes)}
choice = HeightChoice(classes, countable(train_samples, classes))
counted = Scores(classes)
for name, truth, strip in predictions_of(
    [train_samples[row] for row in validation_rows]
):
    objects = Objects(None, truth.instances)
    counted.add(name, truth.ids, strip.ids, strip.probability, objects)
    reliability["validation"].add(truth.ids, strip.probability)
    choice.add(truth, strip, scale_of(strip))
validation_scores = counted.summary()
best = reliability["validation"].best_threshold()
separation = Separation(size, choice.best())
print(f"best threshold on the validation images: {best}")
print(f"objects come apart at: {separation.heights or 'no height'}")

# %% [markdown]
# The scores that count come from the test folders, which had no say in
# anything so far. The interval says how much the IoU would move with other test
# images of the same kind: it draws the images again and again, with
# replacement. With several classes the mean over them is the score to look at,
# and `confusion.png` shows which class was taken for which.

# %%
from unet.files.splits import spread
from unet.geometry.masks import to_ids

scores, best_scores = None, None
if test_samples:
    at_half, at_best, examples = Scores(classes), Scores(classes), []
    shown = {sample.name for sample in spread(test_samples, 16)}
    for name, truth, strip in predictions_of(test_samples):
        heights = separation.at(scale_of(strip), classes)
        objects = Objects(heights, truth.instances, strip.edge)
        at_half.add(name, truth.ids, strip.ids, strip.probability, objects)
        reliability["test"].add(truth.ids, strip.probability)
        if best:
            ids = to_ids(strip.probability, best)
            at_best.add(name, truth.ids, ids, strip.probability, objects)
        if name in shown:
            example = figures.Example(name, strip.image, strip.ids, truth.ids)
            examples.append(example.smaller())
    scores = at_half.summary()
    best_scores = at_best.summary() if best else None
    sheet = figures.contact_sheet(examples, len(test_samples))
    figures.save_figure(sheet, run / "predictions.png")
    print("\n".join(table(scores, best, best_scores)))
    cli.show(run / "predictions.png")
    if len(classes) > 1:
        matrix = figures.confusion_matrix(scores["confusion"])
        figures.save_figure(matrix, run / "confusion.png")
        cli.show(run / "confusion.png")

# %% [markdown]
# Do the probabilities mean what they say? Of the pixels that the network gives
# 70 %, about 70 % should be building: then the line lies on the diagonal. Below
# it the network promises too much, above it too little.

# %%
figures.save_figure(figures.reliability(reliability), run / "reliability.png")
cli.show(run / "reliability.png")

# %% [markdown]
# What the network sees on its way up: each row is one level, coarse at the top,
# fine at the bottom. On the left what came across the skip connection (it knows
# where things are), on the right what the decoder made of it with what came up
# from below (it knows what they are).

# %%
image = train.X[validation_rows[0]]
figures.save_figure(figures.feature_maps(model, image), run / "features.png")
cli.show(run / "features.png")

# %% [markdown]
# ## 7. Summary
#
# One model file that knows its classes, its input size and its scores
# (`code/test/test.py` needs nothing else), and one JSON with all the numbers.

# %%
import json
from dataclasses import replace

from unet.files.atomic import write_text
from unet.network.model import save

contract = replace(
    contract,
    scores=scores,
    best_threshold=best,
    scores_at_best_threshold=best_scores,
    separation=separation.heights,
)
save(model, run / "unet.keras", contract)
summary = {
    **contract.as_dict(),
    "images": {
        "training": len(fit_rows),
        "validation": len(validation_rows),
        "test": len(test_samples),
    },
    "validation": validation_scores,
    "weights": fitting.count_weights(model),
    "epochs": len(checkpoint.log()),
    "best_epoch": checkpoint.best_epoch + 1,
    "seconds": round(seconds, 1),
}
write_text(run / "summary.json", json.dumps(summary, indent=2) + "\n")
checkpoint.forget()
print(f"  run:     {cli.short_path(run)}")
if not args.dry_run:
    runs.publish(run / "unet.keras", args.model, args.overwrite, run.name)

# %% [markdown]
# ## Things to try
#
# Each is one option of this file in a shell. In the notebook set it on `args`
# before the first step, for instance `args.augment = "all"`, and run all cells
# again. Change one thing at a time, and give every try two or three seeds:
# runs that differ in nothing else differ too. `--help` lists besides what was
# tried and is of little help.
#
# **What the network sees.** Twice the resolution, with four times the work; the
# contrast of each image raised; the images moved and in other light as well, or
# as they are.
#
# ```
# python code/train/train_unet.py --size 256
# python code/train/train_unet.py --contrast clahe
# python code/train/train_unet.py --augment all
# python code/train/train_unet.py --augment none
# ```
#
# **What the network is.** A way down that has learned from ImageNet; or one of
# blocks that add their input to their output; batch normalisation after each
# activation; ReLU for ELU; twice as many convolutions, with four times the
# weights.
#
# ```
# python code/train/train_unet.py --encoder efficientnet-lite0
# python code/train/train_unet.py --encoder residual
# python code/train/train_unet.py --batch-norm
# python code/train/train_unet.py --activation relu
# python code/train/train_unet.py --filters 32
# ```
#
# **What it draws besides.** The seams between objects that touch, where there
# is a mask file for each object.
#
# ```
# python code/train/train_unet.py --objects
# ```
#
# **What dropout silences.** Nothing; whole maps; as much in every epoch; or
# rates of your own, level by level.
#
# ```
# python code/train/train_unet.py --dropout-kind none
# python code/train/train_unet.py --dropout-kind spatial
# python code/train/train_unet.py --dropout-kind standard
# python code/train/train_unet.py --dropout 0.05 0.05 0.1 0.1 0.15
# ```
#
# **What the loss asks for.** Overlap as well; or fewer missed pixels, at the
# price of more invented ones.
#
# ```
# python code/train/train_unet.py --loss bce+dice
# python code/train/train_unet.py --loss tversky
# ```
#
# **How it learns.** From gradients of any length; from more images a step; with
# the last weights instead of their mean; in 16 bits, on a GPU or a processor
# with bfloat16 (others stay at 32, which they are faster in).
#
# ```
# python code/train/train_unet.py --clip-norm 0
# python code/train/train_unet.py --batch-size 16 --learning-rate 0.001
# python code/train/train_unet.py --weights last
# python code/train/train_unet.py --mixed-precision
# ```
#
# **Where it begins.** With the weights of another model, all of which may
# change, or only those of the way up.
#
# ```
# python code/train/train_unet.py --start-from code/test/buildings.keras
# python code/train/train_unet.py --start-from my.keras --freeze encoder
# ```
#
# **What the article did**, from the input to the last weight; what scored
# highest on 900 real tiles, with an encoder that has learned from ImageNet, an
# input of 256 pixels and images that are moved and in other light as well; and
# what scored highest of all that begins from nothing.
#
# ```
# python code/train/train_unet.py --recipe article
# python code/train/train_unet.py --recipe best
# python code/train/train_unet.py --recipe scratch
# ```
