"""Errors that are the user's to mend."""


class Notice(UserWarning):
    """What the user should know of, and need not mend."""


class DataError(ValueError):
    """Bad input. The message is the one line that the user reads."""

    def __init__(self, message):
        # It quotes names from files, which may hold any sign.
        super().__init__(printable(" ".join(message.split())))


# Arabic, Persian and the languages of India need these two in words.
JOINERS = {0x200C: None, 0x200D: None}


def printable(text):
    """A text whose control characters are escaped: a terminal obeys them."""
    if text.isprintable():
        return text
    return "".join(
        sign
        if sign.isprintable() or ord(sign) in JOINERS
        else sign.encode("unicode_escape").decode()
        for sign in text
    )
