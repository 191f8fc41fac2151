"""How far objects that touch come apart in an image of any resolution."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Separation:
    """Heights that mean the same on the ground in every image.

    The network sees all images at one scale of the ground. A height in pixels
    of its input is therefore one on the ground too.

    Attributes:
        size: (height, width) of the network's input, pixels.
        heights: dict from a class of countable things to the height of
            ``unet.geometry.separation.separate``, in pixels of the input;
            other classes are not separated.
    """

    size: tuple[int, int] = (0, 0)
    heights: dict[str, float] = field(default_factory=dict)

    def of(self, source, classes):
        """The height of each class in pixels of an image.

        Args:
            source: ``unet.prediction.stream.Source`` with a shape.
            classes: foreground class names.

        Returns:
            List of float, or of None where a class is not separated.
        """
        return self.at(source.scale(self.size), classes)

    def at(self, scale, classes):
        """``of`` an image with ``scale`` pixels of the input for its own."""
        heights = [self.heights.get(name) for name in classes]
        return [height and height / scale for height in heights]


NO_SEPARATION = Separation()
