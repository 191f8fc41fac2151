"""Data that the tests make themselves, and scripts run as processes."""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import forked
from unet.imagery.png import write_png
from unet.prediction.strip import Strip

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / "code"
REAL = ROOT.parent / "shared" / "data"

needs_real_data = pytest.mark.skipif(
    not REAL.is_dir(), reason="the real images of ../shared/data are absent"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Keep the tests' arrays out of the user's cache."""
    monkeypatch.setenv("UNET_CACHE", str(tmp_path / "cache"))


def small_network(classes=("building",)):
    """An untrained network that finds every class somewhere in noise."""
    # Not imported above: most tests need no TensorFlow.
    from unet.network.backend import keras
    from unet.network.model import build_unet

    keras.utils.set_random_seed(4)
    return build_unet((32, 32), classes, filters=2, depth=2)


def run_script(script, *arguments, cwd, env=None, timeout=600, anew=False):
    """Run a script of code/ as a user does.

    Args:
        script: path below code/.
        arguments: of its command line.
        cwd: working directory.
        env: variables that its Python must find when it starts.
        timeout: in seconds.
        anew: start Python anew, although that takes seconds.

    Returns:
        ``subprocess.CompletedProcess`` with text output.
    """
    words = [CODE / script, *arguments]
    if forked.POSSIBLE and not (env or anew):
        with tempfile.TemporaryDirectory() as out:
            return forked.Script(words, cwd, out).communicate(timeout)
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def script(monkeypatch, tmp_path):
    """A function that runs a script of code/util/ in this process."""
    monkeypatch.chdir(tmp_path)

    def run(name, *words):
        spec = importlib.util.spec_from_file_location(
            f"{name}_script", CODE / "util" / f"{name}.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        words = [name, *map(str, words), "--quiet"]
        monkeypatch.setattr(sys, "argv", words)
        module.main(module.read_arguments())

    return run


def interruptible():
    """Let Ctrl-C end a child process, as ``preexec_fn`` of ``Popen``.

    Whatever a shell starts in the background ignores it, and so would all
    that the tests start there.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def killed_at(count, function):
    """Call a function in a child process that dies at its nth renaming.

    Nothing is cleaned up, as after SIGKILL or a power cut.

    Returns:
        Whether it came so far.
    """
    child = os.fork()
    if child == 0:
        left = [count]

        def or_die(rename):
            def renamed(*names, **how):
                left[0] -= 1
                if left[0] == 0:
                    os._exit(137)
                rename(*names, **how)

            return renamed

        code = 1
        try:
            os.rename, os.replace = or_die(os.rename), or_die(os.replace)
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 137)
    return code == 137


def assert_refused(result, *words):
    """Bad input: one line, all the words in it, exit code 2, no traceback."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert str(word) in lines[0]


def make_image(rng, size):
    """A noisy ground with up to three bright roofs: (image, masks)."""
    image = rng.integers(40, 110, (size, size, 3)).astype(np.uint8)
    masks = []
    for _ in range(rng.integers(1, 4)):
        height, width = rng.integers(size // 5, size // 3, 2)
        top, left = rng.integers(0, size - size // 3, 2)
        mask = np.zeros((size, size), bool)
        mask[top : top + height, left : left + width] = True
        image[mask] = rng.integers(150, 240, 3) + rng.integers(-9, 10, 3)
        masks.append(mask)
    return image, masks


def make_tree(root, count, size=32, seed=0, classes=None):
    """A tree of ``Folder_1`` ... with images of bright roofs.

    Args:
        root: directory to make.
        count: number of samples.
        size: side of the images in pixels.
        seed: of the random choices.
        classes: class names; masks take turns. None: masks lie in masks/.

    Returns:
        root.
    """
    rng = np.random.default_rng(seed)
    for number in range(1, count + 1):
        name = f"Folder_{number}"
        image, masks = make_image(rng, size)
        write_png(root / name / "images" / f"{name}.png", image)
        for k, mask in enumerate(masks, start=1):
            place = root / name / "masks"
            if classes:
                place = place / classes[k % len(classes)]
            write_png(place / f"{name}_mask_{k}.png", mask)
    return root


def write_sample(root, name, image, masks=None):
    """One sample: its image, and its masks in order (None: unlabelled)."""
    write_png(root / name / "images" / f"{name}.png", image)
    if masks is not None:
        (root / name / "masks").mkdir()
    for k, mask in enumerate(masks or [], start=1):
        write_png(root / name / "masks" / f"{name}_mask_{k}.png", mask)


def contents(root):
    """Bytes of every file below a directory, by its path there."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def strips(height, ids, probability=None, image=None, known=None):
    """A scene in strips of a height; what is not given is plain.

    Yields:
        ``Strip``.
    """
    if probability is None:
        probability = np.where(ids > 0, 0.75, 0.25)[..., None]
    if image is None:
        image = np.full((*ids.shape, 3), 90, np.uint8)
    if known is None:
        known = np.ones(ids.shape, bool)
    for top in range(0, len(ids), height):
        rows = slice(top, top + height)
        yield Strip(
            top,
            image[rows],
            np.where(known[rows], ids[rows], 0).astype(np.uint8),
            probability[rows].astype(np.float32),
            known[rows],
        )


def blobs(seed, smooth=2.0, shape=(90, 110), share=0.45):
    """A random mask: blobs with holes, islands, specks, and the border."""
    noise = np.random.default_rng(seed).normal(size=shape)
    field = ndimage.gaussian_filter(noise, smooth)
    return field > np.quantile(field, 1 - share)
