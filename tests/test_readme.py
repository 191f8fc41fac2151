"""The README's commands exist as they are written."""

import re

import pytest

from conftest import CODE, ROOT, run_script

TEXTS = [ROOT / "README.md", ROOT / "data" / "README.md"]


def commands():
    """Every line of the READMEs that runs one of our scripts."""
    found = set()
    for path in TEXTS:
        for line in path.read_text(encoding="utf-8").splitlines():
            found.update(
                re.findall(r"python code/([\w/]+\.py)([^&|`\n]*)", line)
            )
    return sorted(found)


def test_the_two_commands_are_one_line_each():
    lines = TEXTS[0].read_text(encoding="utf-8").splitlines()
    both = [line for line in lines if line.startswith("python3 -m venv")]
    assert len(both) == 2
    assert both[0].endswith(
        "python code/train/train_unet.py && python code/test/test.py"
    )
    assert both[1].endswith("python -m pytest")


@pytest.mark.parametrize(("script", "arguments"), commands())
def test_options_in_the_readme_are_known(script, arguments, tmp_path):
    assert (CODE / script).is_file()
    text = run_script(script, "--help", cwd=tmp_path).stdout
    for option in re.findall(r"--[a-z-]+", arguments):
        assert re.search(rf"{option}\b", text), f"{script} {option}"


def test_pictures_and_links_exist():
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (path.parent / target).exists(), target
