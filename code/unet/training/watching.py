"""What people watch a training with: TensorBoard."""

import io

from unet.network.backend import keras


class Watched(keras.callbacks.TensorBoard):
    """Keras' own callback, and a picture of predictions after each epoch.

    It writes what the log has, the learning rate among it, by epoch; a
    resumed training goes on in the same curves. In the list of callbacks it
    comes after those that change the log, and before ``SwapEMAWeights``.

    Args:
        directory: where TensorBoard reads.
        images: uint8, n x H x W x 3, of the network's input.
        draw: function that makes a ``matplotlib.figure.Figure`` of float32,
            n x H x W x channels, the network's probabilities for them.
    """

    def __init__(self, directory, images, draw):
        super().__init__(directory, write_graph=False)
        self._images, self._draw = images, draw
        self._answer = None

    def on_test_end(self, logs=None):
        super().on_test_end(logs)
        # The weights are still those that were validated.
        answers = self.model(self._images, training=False)
        first = answers[0] if isinstance(answers, list) else answers
        self._answer = keras.ops.convert_to_numpy(first)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        import tensorflow as tf  # what its files are written by

        buffer = io.BytesIO()
        self._draw(self._answer).savefig(buffer, format="png")
        picture = tf.io.decode_png(buffer.getvalue(), channels=3)
        with self._val_writer.as_default():
            self.summary.image("predictions", picture[None], step=epoch)
            self.summary.flush()
