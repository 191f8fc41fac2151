"""Floor 6: the only room that knows argparse, tqdm and print."""

from unet.terminal import interruption

# With the first import of a script: those behind it take time already.
interruption.say_in_one_line()
