"""What native code writes to the terminal past Python."""

import os
import sys
import tempfile
from contextlib import contextmanager


@contextmanager
def held_back_stderr(shown=True):
    """Hold back what is written to the standard error stream.

    Args:
        shown: show it after all if an error ends the block.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:  # Ctrl-C says enough itself
            if shown:
                held.seek(0)
                os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
