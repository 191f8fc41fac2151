"""What happens before and after each epoch of a training.

All of it follows from the epoch's number and the log alone, so that a resumed
training goes on exactly as it would have.
"""

import math
import re
import time

import h5py
import pandas as pd

from unet.files.atomic import replacing
from unet.files.errors import DataError
from unet.network.backend import keras
from unet.network.contract import read_contract
from unet.network.model import MASK, load, save
from unet.network.own_layers import FadingDropout, copy_weights
from unet.training.fitting import metric_name
from unet.training.hosts import Hosts


class Checkpoint:
    """Keeps a run's best model, its log, and what is needed to go on.

    All of it lies in the run's directory: ``unet.keras`` (the best model so
    far), ``log.csv`` and ``state.weights.h5``. Which epoch was the best and
    how much patience is left follow from the log, so that a resumed run
    remembers both.

    Args:
        model: compiled.
        run: the run's directory.
        contract: a ``unet.network.contract.Contract`` for the model file.
        classes: foreground class names.
        patience: epochs without a new best after which training stops.
        hosts: ``unet.training.hosts.Hosts``. Each decides by a log of its
            own, which says the same; the first alone saves. None: this one
            is alone.
    """

    def __init__(self, model, run, contract, classes, patience, hosts=None):
        self.model, self.contract, self.patience = model, contract, patience
        self.hosts = hosts or Hosts()
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
    def out_of_patience(self):
        """Whether ``patience`` epochs brought no new best."""
        epochs = len(self.log())
        return epochs > 0 and epochs - 1 - self.best_epoch >= self.patience

    def resume(self, batches):
        """Go back to the end of the last epoch that was saved.

        Args:
            batches: of the training; set to the next epoch.

        Returns:
            Number of the next epoch, 0 if none was finished.

        Raises:
            DataError: the run had other data, or another network.
        """
        epoch = 0
        # Built within the first step it would let Keras trace that step twice.
        self.model.optimizer.build(self.model.trainable_variables)
        if self.state_path.exists():
            trained_on = read_contract(self.best_path).data
            if trained_on != self.contract.data:
                raise DataError(
                    f"{self.best_path}: this run was trained on other data "
                    f"({trained_on['images']} images) than there are now "
                    f"({self.contract.data['images']}). Start a new run."
                )
            self._load_state()
            with h5py.File(self.state_path) as file:
                epoch = int(file.attrs["epochs"])
        log = self.log()
        if len(log) > epoch:
            with replacing(self.log_path) as temporary:
                log[:epoch].to_csv(temporary, index=False)
        batches.start_at(epoch)
        return epoch

    def _load_state(self):
        try:
            self.model.load_weights(self.state_path)
        except ValueError:  # names every layer and its weights
            raise DataError(
                f"{self.state_path}: expected the weights of this network, "
                "found those of another one, perhaps of another version of "
                f"this project. Start a new run; {self.best_path} holds the "
                "best epoch of this one."
            ) from None

    def callbacks(self):
        """The Keras callbacks, in the order in which they must run."""
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        # Validation looks at the running mean of the weights.
        mean = [ShortMean(), keras.callbacks.SwapEMAWeights()]
        return [
            *(mean if optimizer.use_ema else []),
            keras.callbacks.CSVLogger(self.log_path, append=True),
            keras.callbacks.LambdaCallback(
                on_epoch_begin=self._renew_noise,
                on_epoch_end=self._save_epoch,
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

    def _save_epoch(self, epoch, logs):
        if self.best_epoch == epoch:
            self._save_best()
        if self.out_of_patience:
            self.model.stop_training = True
        if not self.hosts.first:
            return
        with replacing(self.state_path) as temporary:
            self.model.save_weights(temporary)
            with h5py.File(temporary, "a") as file:
                file.attrs["epochs"] = epoch + 1

    def _save_best(self):
        """Save what the validation has seen: the mean of the weights."""
        last = self.model.get_weights()
        trained = self.model.trainable_variables
        self.model.optimizer.finalize_variable_values(trained)
        if self.hosts.first:
            save(self.model, self.best_path, self.contract)
        self.model.set_weights(last)

    def _restore_best(self, logs):
        if self.hosts.count > 1:
            return  # the others have no file
        copy_weights(load(self.best_path), self.model)

    def forget(self):
        """Remove what only a resumed run needs."""
        self.state_path.unlink(missing_ok=True)


def of_epochs(checkpoint, learning_rate, fading=False):
    """What must be set before an epoch, and logged before the log is written.

    Args:
        checkpoint: the run's ``Checkpoint``.
        learning_rate: a ``unet.training.schedule.LearningRate``.
        fading: whether the dropout falls to 0 in its last epoch.

    Returns:
        List of Keras callbacks.
    """
    made = [PlainNames(), SetLearningRate(checkpoint, learning_rate)]
    if fading:
        made.append(Fading(learning_rate.epochs))
    return made


class PlainNames(keras.callbacks.Callback):
    """Calls the scores of the mask the same, whatever outputs there are.

    Where there are two, Keras puts the output's name before the metric's.
    """

    def on_epoch_end(self, epoch, logs):
        if len(self.model.outputs) == 1:
            return
        for name in list(logs):
            if name.endswith("_iou"):
                plain = re.sub(rf"^(val_)?{MASK}_", r"\1", name)
                logs[plain] = logs.pop(name)


class NowAndThen(keras.callbacks.Callback):
    """Calls a function after an epoch, once a minute at most, and at the end.

    Args:
        function: without arguments.
    """

    def __init__(self, function):
        super().__init__()
        self.function, self.last = function, -math.inf

    def on_epoch_end(self, epoch, logs=None):
        if time.monotonic() - self.last > 60:
            self.function()
            self.last = time.monotonic()

    def on_train_end(self, logs=None):
        self.function()


class ShortMean(keras.callbacks.Callback):
    """Lets the running mean of the weights reach back a tenth of the training.

    Over 100 steps of 200 it would still hold what the network hardly knew.
    From 1,000 steps on the optimizer's own momentum stays.
    """

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        steps = max(self.params["epochs"] * self.params["steps"], 10)
        momentum = min(optimizer.ema_momentum, 1 - 10 / steps)
        optimizer.ema_momentum = momentum


class SetLearningRate(keras.callbacks.Callback):
    """Sets the learning rate of each epoch, and logs it and the seconds.

    Args:
        checkpoint: the run's ``Checkpoint``, whose log has the scores.
        learning_rate: a ``unet.training.schedule.LearningRate``.
    """

    def __init__(self, checkpoint, learning_rate):
        super().__init__()
        self.checkpoint, self.learning_rate = checkpoint, learning_rate

    def on_epoch_begin(self, epoch, logs=None):
        self.started = time.monotonic()
        log = self.checkpoint.log()
        name = f"val_{self.checkpoint.monitor}"
        scores = log[name].tolist() if len(log) else []
        self.rate = self.learning_rate.at(epoch, scores)
        self.model.optimizer.learning_rate = self.rate

    def on_epoch_end(self, epoch, logs):
        logs["learning_rate"] = self.rate
        logs["seconds"] = round(time.monotonic() - self.started, 2)


class Fading(keras.callbacks.Callback):
    """Lets the dropout fall in a straight line, to 0 in the last epoch.

    Args:
        epochs: most epochs of the training.
    """

    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        left = 1 - epoch / max(self.epochs - 1, 1)
        for layer in self.model.layers:
            if isinstance(layer, FadingDropout):
                layer.left.assign(left)
