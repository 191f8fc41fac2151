"""CSV files with columns of text."""

from unet.files.errors import DataError
from unet.files.names import same


def read_table(path, columns):
    """Read a CSV file as text columns.

    Returns:
        A ``pandas.DataFrame`` of str, in the form in which names are
        compared.

    Raises:
        DataError: it cannot be read or lacks one of ``columns``.
    """
    import pandas as pd  # slow to import

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{path}: expected a CSV file: {reason}.") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)}, found "
            f"{', '.join(table.columns)}."
        )
    return table.map(same)
