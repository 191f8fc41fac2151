"""Files that were damaged, or written by somebody who means harm."""

import copy
import io
import json
import re
import zipfile
import zlib

from test_formats import JUNK, places

ODD_WORDS = [b"", b"0", b"-1", b"1e9", b"1e308", b"9" * 20, b"nan", b"0.5"]
ODD_BYTES = [b"\0" * 8, b"\xff" * 8, b"\xff" * 7 + b"\x7f",
             b"\x7f" + b"\xff" * 7, b"\x01" + b"\0" * 7]  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n"


def mutated(content, rng):
    """A file's content, changed in one to three places.

    Where a format has sums or a grammar, half of the files keep them, so that
    the damage gets behind the first check.

    Args:
        content: bytes.
        rng: ``random.Random``.
    """
    if rng.random() < 0.5:
        try:
            if content.startswith(b"PK"):
                return with_odd_member(content, rng)
            if content.startswith(PNG):
                return with_sums(_changed(content, rng))
            return with_odd_values(content, rng)
        except (ValueError, RecursionError):
            pass  # no JSON
    return _changed(content, rng)


def _changed(content, rng):
    for _ in range(rng.randint(1, 3)):
        if content:
            content = rng.choice(CHANGES)(content, rng)
    return content


def flip(content, rng):
    """Other bits."""
    content = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def cut(content, rng):
    """The end is missing."""
    return content[: rng.randrange(len(content))]


def drop(content, rng):
    """A part is missing."""
    start = rng.randrange(len(content))
    return content[:start] + content[start + rng.randint(1, 64) :]


def insert(content, rng):
    """A part is too much."""
    start = rng.randrange(len(content))
    return content[:start] + rng.randbytes(rng.randint(1, 32)) + content[start:]


def repeat(content, rng):
    """A part comes several times."""
    start = rng.randrange(len(content))
    part = content[start : start + rng.randint(1, 200)]
    return content[:start] + part * rng.randint(2, 50) + content[start:]


def swap_word(content, rng):
    """Another number, as text."""
    spots = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if not spots:
        return swap_bytes(content, rng)
    start, end = rng.choice(spots).span()
    return content[:start] + rng.choice(ODD_WORDS) + content[end:]


def swap_bytes(content, rng):
    """Another number, as bytes."""
    start = rng.randrange(len(content))
    odd = rng.choice(ODD_BYTES)[: rng.choice((1, 2, 4, 8))]
    return content[:start] + odd + content[start + len(odd) :]


CHANGES = [flip, cut, drop, insert, repeat, swap_word, swap_bytes]


def with_odd_values(content, rng):
    """JSON with values that nobody expects, or without some.

    Raises:
        ValueError: it is no JSON.
    """
    document = json.loads(content)
    for _ in range(rng.randint(1, 3)):
        inside = list(places(document))[1:]
        if not inside:
            break
        *path, last = rng.choice(inside)
        target = document
        for key in path:
            target = target[key]
        if rng.random() < 0.6:
            target[last] = copy.deepcopy(rng.choice(JUNK))
        else:
            del target[last]
    return json.dumps(document).encode()


def with_odd_member(content, rng):
    """An archive in which a member is damaged, and all sums are right."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(buffer, "w") as new,
    ):
        members = old.infolist()
        damaged = rng.choice(members)
        for member in members:
            data = old.read(member)
            if member is damaged:
                data = mutated(data, rng)
            new.writestr(member, data)
    return buffer.getvalue()


def with_sums(content):
    """A PNG whose chunks have the sums of what they hold."""
    result, at = [content[:8]], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        end = min(at + 8 + length, len(content) - 4)
        sum_ = zlib.crc32(content[at + 4 : end]).to_bytes(4, "big")
        result += [content[at:end], sum_]
        at = end + 4
    return b"".join([*result, content[at:]])
