"""Errors that are the user's to mend."""


class Notice(UserWarning):
    """What the user should know of, and need not mend."""


class DataError(ValueError):
    """Bad input. The message is the one line that the user reads."""

    def __init__(self, message):
        # It quotes names from files, which may hold any sign.
        super().__init__(" ".join(message.split()))
