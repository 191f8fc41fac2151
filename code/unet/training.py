"""What ``fit`` needs: batches, metrics, and callbacks that lose nothing."""

import math
from importlib import import_module

import h5py
import numpy as np
import pandas as pd

from unet.backend import half_precision, keras
from unet.contract import read_contract
from unet.folders import DataError, replacing, take_groups
from unet.model import copy_weights, load, save

# Early stopping counts epochs. With far fewer steps than this in each a
# small data set would be given up before the network has moved, so small
# sets are passed over several times an epoch.
STEPS = 40
# Threads that make batches: they keep ahead of the network on two cores. With
# one, Keras 3.15 leaves them to tf.data's autotuning, whose thread sleeps for
# 10 ms, then 20, 40 ... and is waited for when an epoch ends: epochs took
# 10.2, 20.5 or 41 s and nothing between, whatever the network needed.
_WORKERS = 2
# How many choices of validation groups are tried.
_CHOICES = 100


def channel_statistics(X, rows):
    """Mean and variance of each channel of images divided by 255.

    Args:
        X: uint8, N x H x W x 3.
        rows: the rows that count.

    Returns:
        (mean, variance): lists of three floats.
    """
    counts = np.zeros((3, 256), np.int64)
    for row in rows:
        for channel in range(3):
            values = X[row, ..., channel].ravel()
            counts[channel] += np.bincount(values, minlength=256)
    levels = np.arange(256) / 255
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ levels
    variance = (share * (levels - mean[:, None]) ** 2).sum(axis=1)
    return mean.tolist(), variance.tolist()


def split_validation(groups, share, has_object, traits):
    """Choose the rows that validate, whole groups at a time.

    Of many random choices the one is taken that is most like the whole: one
    group more or less decides whether the dense town is among the validation
    images, and without it they tell nothing about the town. The choice is the
    same for every seed of a training, so that runs can be compared. Both sides
    get something to find, if that is possible: without it the IoU of the
    validation could not improve.

    Args:
        groups: one group per row.
        share: of the rows.
        has_object: bool array, one per row.
        traits: float array, rows x traits, of ``Dataset.traits``.

    Returns:
        (training rows, validation rows): int arrays.

    Raises:
        DataError: one side would be left with nothing, or nothing to find.
    """
    drawn = [take_groups(groups, share, seed) for seed in range(_CHOICES)]
    choices = [
        one for one in drawn if has_object[one].any() and has_object[~one].any()
    ]
    if not choices:
        raise DataError(
            f"validation {share:g}: expected images with objects to learn from "
            f"and others to validate, found {int(has_object.sum())} with "
            f"objects among {len(groups)} images in {len(set(groups))} "
            "group(s). Add images or masks, or use finer groups."
        )
    spread = traits.std(axis=0) + 1e-9
    away = [(traits[one].mean(axis=0) - traits.mean(axis=0)) / spread
            for one in choices]  # fmt: skip
    validates = choices[np.square(away).sum(axis=1).argmin()]
    return np.flatnonzero(~validates), np.flatnonzero(validates)


def some_of(rows, count, seed):
    """So many of the rows, at random: the smaller choice is in the larger.

    Args:
        rows: int array.
        count: how many; None: all.
        seed: of the choice.
    """
    if count is None or count >= len(rows):
        return rows
    chosen = np.random.default_rng([seed, 1]).permutation(len(rows))[:count]
    return rows[np.sort(chosen)]


class Batches(keras.utils.PyDataset):
    """Batches of a data set, read from the memory-mapped arrays.

    The order of an epoch and what augmentation makes of a batch depend on
    the seed, the epoch's number and the batch's alone, so that a resumed
    training goes on exactly as it would have.

    Args:
        X, Y: uint8, N x H x W x 3 and N x H x W.
        rows: the rows to use.
        batch_size: images a step.
        seed: of the order; without it each epoch is one pass in the rows'
            own order.
        augment: function ``(X, Y, rng)`` of the arrays of a batch and a
            ``numpy.random.Generator`` that returns changed copies of both.
            It runs in threads while the network computes.
    """

    def __init__(self, X, Y, rows, batch_size, seed=None, augment=None):
        super().__init__(workers=_WORKERS)
        self.augment = augment
        self.X, self.Y = X, Y
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        steps = math.ceil(len(rows) / batch_size)
        self.passes = math.ceil(STEPS / steps)
        self.start_at(0)

    def start_at(self, epoch):
        """Make the order of an epoch."""
        self.epoch, self.order = epoch, self.rows
        if self.seed is not None:
            rng = np.random.default_rng([self.seed, epoch])
            rounds = [rng.permutation(self.rows) for _ in range(self.passes)]
            self.order = np.concatenate(rounds)

    def __len__(self):
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, index):
        start = index * self.batch_size
        rows = self.order[start : start + self.batch_size]
        x, y = self.X[rows], self.Y[rows]
        if self.augment:
            rng = np.random.default_rng([self.seed, self.epoch, index])
            x, y = self.augment(x, y, rng)
        return x, y[..., None]

    def on_epoch_end(self):
        self.start_at(self.epoch + 1)


def metric_name(classes):
    """Name of the metric that counts: IoU of what is looked for."""
    return f"{classes[0] if len(classes) == 1 else 'foreground'}_iou"


def metrics(classes):
    """Mean IoU and foreground IoU for the progress bar, as Keras metrics."""
    name = metric_name(classes)
    if len(classes) == 1:
        # MeanIoU would truncate the sigmoid's probabilities to zero.
        return [
            keras.metrics.BinaryIoU([0, 1], threshold=0.5, name="mean_iou"),
            keras.metrics.BinaryIoU([1], threshold=0.5, name=name),
        ]
    total = len(classes) + 1
    foreground = list(range(1, total))
    return [
        keras.metrics.MeanIoU(total, sparse_y_pred=False, name="mean_iou"),
        keras.metrics.IoU(total, foreground, sparse_y_pred=False, name=name),
    ]


class Keeper:
    """Keeps a run's best model, its log, and what is needed to go on.

    All of it lies in the run's directory: ``unet.keras`` (the best model so
    far), ``log.csv`` and ``state.weights.h5``. Which epoch was the best and
    how much patience is left follow from the log, so that a resumed run
    remembers both.

    Args:
        model: compiled.
        run: the run's directory.
        contract: stored in the model file.
        classes: foreground class names.
        patience: epochs without a new best after which training stops.
    """

    def __init__(self, model, run, contract, classes, patience):
        self.model, self.contract, self.patience = model, contract, patience
        self.monitor = metric_name(classes)
        self.best_path = run / "unet.keras"
        self.log_path = run / "log.csv"
        self.state_path = run / "state.weights.h5"

    def log(self):
        """The log, one row an epoch, as a ``pandas.DataFrame``."""
        # The file is made, empty, before the first epoch.
        if not self.log_path.exists() or not self.log_path.stat().st_size:
            return pd.DataFrame()
        return pd.read_csv(self.log_path)

    @property
    def best_epoch(self):
        """Number of the best epoch, from 0; the first of equals."""
        return int(self.log()[f"val_{self.monitor}"].argmax())

    @property
    def worn_out(self):
        """Whether ``patience`` epochs brought nothing new."""
        epochs = len(self.log())
        return epochs > 0 and epochs - 1 - self.best_epoch >= self.patience

    def resume(self, batches):
        """Go back to the end of the last epoch that was saved.

        Args:
            batches: of the training; set to the next epoch.

        Returns:
            Number of the next epoch, 0 if none was finished.

        Raises:
            DataError: the run had other data.
        """
        epoch = 0
        if self.state_path.exists():
            had = read_contract(self.best_path)["data"]
            if had != self.contract["data"]:
                raise DataError(
                    f"{self.best_path}: this run was trained on other data "
                    f"({had['images']} images) than there are now "
                    f"({self.contract['data']['images']}). Start a new run."
                )
            self.model.optimizer.build(self.model.trainable_variables)
            self.model.load_weights(self.state_path)
            with h5py.File(self.state_path) as file:
                epoch = int(file.attrs["epochs"])
        log = self.log()
        if len(log) > epoch:
            with replacing(self.log_path) as temporary:
                log[:epoch].to_csv(temporary, index=False)
        batches.start_at(epoch)
        return epoch

    def callbacks(self):
        """The Keras callbacks, in the order in which they must run."""
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        # Validation looks at the running mean of the weights.
        swap = [keras.callbacks.SwapEMAWeights()] if optimizer.use_ema else []
        return [
            *swap,
            keras.callbacks.CSVLogger(self.log_path, append=True),
            keras.callbacks.LambdaCallback(
                on_epoch_begin=self._renew_noise,
                on_epoch_end=self._keep,
                on_train_end=self._restore_best,
            ),
        ]

    def _renew_noise(self, epoch, logs):
        """Let an epoch's dropout depend on its number alone.

        Keras does not save the state of the layers' random generators, a
        pair of seed and counter.
        """
        for layer in self.model.layers:
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                seed = keras.ops.convert_to_numpy(generator.state)[0]
                generator.state.assign([seed, epoch << 16])

    def _keep(self, epoch, logs):
        if self.best_epoch == epoch:
            self._save_best()
        if self.worn_out:
            self.model.stop_training = True
        with replacing(self.state_path) as temporary:
            self.model.save_weights(temporary)
            with h5py.File(temporary, "a") as file:
                file.attrs["epochs"] = epoch + 1

    def _save_best(self):
        """Save what the validation has seen: the mean of the weights."""
        now = self.model.get_weights()
        trained = self.model.trainable_variables
        self.model.optimizer.finalize_variable_values(trained)
        save(self.model, self.best_path, self.contract)
        self.model.set_weights(now)

    def _restore_best(self, logs):
        copy_weights(load(self.best_path), self.model)

    def forget(self):
        """Remove what only a resumed run needs."""
        self.state_path.unlink(missing_ok=True)


def optimizer(
    learning_rate,
    weights="mean",
    clip_norm=0,
    weight_decay=0,
    mixed_precision=False,
):
    """Adam that also keeps a running mean of the weights.

    With dropout and few images the weights jump from step to step, and the
    validation with them: patience could end by bad luck. The mean over about
    the last 100 steps is calm (Polyak and Juditsky 1992; ``use_ema`` of
    Keras). It lags: in the first ten epochs on the real tiles the weights
    themselves scored higher.

    Args:
        learning_rate: of Adam.
        weights: ``"last"`` leaves the mean out: what is validated and saved
            are the weights of the last step.
        clip_norm: the gradient of all weights together is shortened to this
            length where it is longer (Pascanu et al. 2013); 0: never. In
            small batches most are about 1 long and a few 20.
        weight_decay: share of the kernels taken off in each step, times the
            learning rate (Loshchilov and Hutter 2019); offsets and batch
            normalisation are left alone.
        mixed_precision: in float16 the loss is scaled, so that small
            gradients do not vanish; bfloat16 has the range of 32 bits.
    """
    adam = keras.optimizers.Adam(
        learning_rate,
        global_clipnorm=clip_norm or None,
        weight_decay=weight_decay or None,
        use_ema=weights == "mean",
        ema_momentum=0.99,
    )
    if weight_decay:
        adam.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if mixed_precision and half_precision() == "float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam


def weights(model):
    """Number of trainable weights."""
    return sum(math.prod(w.shape) for w in model.trainable_weights)


def statistics(args, X, rows):
    """Mean and variance for the network's normalisation, or None twice.

    Args:
        args: with ``normalisation`` and ``start_from``, a model that has its
            own.
        X, rows: see ``channel_statistics``.
    """
    if args.start_from:
        before = read_contract(args.start_from)["preprocessing"]
        return before["mean"], before["variance"]
    if args.normalisation == "article":
        return None, None
    return channel_statistics(X, rows)


def _origin(path):
    """What a model that a training starts from says of its own."""
    if path is None:
        return None
    before = read_contract(path)
    return {
        name: before.get(name) for name in ("data", "training", "started_from")
    }


def contract(train, args, mean, variance):
    """What a model file says of itself, before there are scores.

    Args:
        train: the training ``Dataset``.
        args: the options of the training.
        mean, variance: of the network's normalisation, or None.

    Returns:
        dict that JSON can hold.
    """
    # Where files lay on the machine is nobody's business.
    places = {"data", "model", "out", "resume", "group", "start_from"}
    manners = {"overwrite", "dry_run", "quiet"}
    return {
        "classes": train.classes,
        "size": list(train.X.shape[1:3]),
        "preprocessing": {
            "resize": "the whole image, by area where it shrinks",
            "contrast": train.contrast,
            "input": "RGB, 0 to 255, scaled inside the network",
            "mean": mean,
            "variance": variance,
        },
        "scale": train.scale,
        "scales": train.scales,
        "resolution": train.resolution,
        "threshold": 0.5,
        "best_threshold": None,
        "training": {
            name: value
            for name, value in vars(args).items()
            if name not in places | manners
        },
        "data": {"images": len(train.names), "digest": train.digest},
        "started_from": _origin(getattr(args, "start_from", None)),
        "versions": {
            name: import_module(name).__version__
            for name in ("keras", "numpy", keras.backend.backend())
        },
        "scores": None,
    }
