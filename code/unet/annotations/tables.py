"""Tables of polygons: csv, tsv, xlsx."""

import json
import warnings
import zipfile
from collections import defaultdict

import numpy as np
import shapely

from unet.annotations.annotation import Annotation, check_reach, image_name
from unet.annotations.article import annotation_of_points, parse_article_text
from unet.annotations.parsing import shortened
from unet.annotations.repairs import Repair
from unet.annotations.shapes import (
    CLASS_KEYS,
    IMAGE_KEYS,
    add,
    areas,
    find_key,
)
from unet.annotations.via import add_shape, label_of
from unet.files.errors import DataError

_X_KEYS = ("x", "all_points_x", "xs", "x_coordinates", "x_pixel", "px")
_Y_KEYS = ("y", "all_points_y", "ys", "y_coordinates", "y_pixel", "py")
# What tells the objects of an image apart where each point has its own row.
_OBJECT_KEYS = (
    "polygon_id", "object_id", "instance_id", "region_id", "shape_id",
    "building_id", "polygon", "object", "instance", "region", "id",
)  # fmt: skip


def read_table(path, _, rules):
    """A spreadsheet with a column of images and one of polygons.

    Polygons are WKT, lists of points, VIA's shape attributes, or two columns
    of x and y: with lists in them, or with one point a row. Columns are found
    by their names and contents unless ``rules`` name them.
    """
    table = _load_table(path, rules)
    image = rules.image_column and _existing(
        table, rules.image_column, "--image-column", path
    )
    image = image or find_key(table, IMAGE_KEYS) or table.columns[0]
    names = [
        _checked_name(text, f"{path}, line {number}", image, path, rules)
        for number, text in enumerate(table[image], start=2)
    ]
    columns, parse = _polygon_columns(table, path, rules)
    label_of_row = _label_reader(table, parse, rules.attribute, path)
    annotations = defaultdict(lambda: Annotation(path))
    if parse is _add_points and not _has_lists(table, columns):
        _read_points(table, names, columns, label_of_row, annotations, path)
        return dict(annotations)
    for number, (name, row) in enumerate(
        zip(names, table.to_dict("records"), strict=True), start=2
    ):
        annotation = annotations[name]
        cells = [row[column].strip() for column in columns]
        if any(cells):
            place = f"{path}, line {number}"
            parse(*cells, place, annotation, label_of_row(row))
    return dict(annotations)


def _checked_name(text, place, column, path, rules):
    name = image_name(text, path, rules.directories)
    if not name:
        raise DataError(
            f"{place}: expected the name of an image in the column {column}, "
            "found nothing. Fill it in."
        )
    return name


def _load_table(path, rules):
    import pandas as pd  # slow to import

    try:
        if path.suffix.lower() == ".xlsx":
            _check_unpacked(path, rules)
            table = pd.read_excel(path, dtype=str, keep_default_na=False)
        else:
            with warnings.catch_warnings():
                # Rows longer than the heading: pandas would drop the rest.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                table = pd.read_csv(
                    path,
                    sep=_separator(path),
                    dtype=str,
                    keep_default_na=False,
                    index_col=False,
                    encoding="utf-8-sig",
                )
    except DataError:
        raise
    except UnicodeDecodeError:
        raise DataError(
            f"{path}: expected UTF-8 text, found another encoding. Save it as "
            '"CSV UTF-8".'
        ) from None
    # The libraries underneath raise whatever a damaged file leads them to.
    except Exception as error:
        reason = shortened(f"{type(error).__name__}: {error}")
        raise DataError(
            f"{path}: expected a table ({reason}). Save it again."
        ) from None
    table.columns = table.columns.map(str)
    return table.fillna("").astype(str)


def _check_unpacked(path, rules):
    """Refuse a spreadsheet that would fill the memory."""
    most = rules.limits.unpacked
    with zipfile.ZipFile(path) as file:
        size = sum(one.file_size for one in file.infolist())
    if size > most << 20:
        raise DataError(
            f"{path}: expected at most {most} MiB without compression, found "
            f"{size >> 20} MiB. "
            + rules.advice("Divide the file", ", or raise --max-unpacked")
        )


def _separator(path):
    """What separates the columns: the most frequent sign in the heading."""
    with path.open(encoding="utf-8-sig") as file:
        heading = file.readline()
    return max(",\t;|", key=heading.count)


def _existing(table, column, option, path):
    """A column that was asked for.

    Raises:
        DataError: the table lacks it.
    """
    if column not in table:
        raise DataError(
            f"{path}: expected a column {column}, found "
            f"{shortened(', '.join(table))}. Correct {option}."
        )
    return column


def _polygon_columns(table, path, rules):
    """The columns that hold polygons, and how to read their cells.

    Where several do, one whose name says pixels is taken.
    """
    wanted = rules.polygon_column
    if wanted and wanted not in table and "," in wanted:
        pair = [part.strip() for part in wanted.split(",")][:2]
        return [
            _existing(table, column, "--polygon-column", path)
            for column in pair
        ], _add_points
    columns = table.columns
    if wanted:
        columns = [_existing(table, wanted, "--polygon-column", path)]
    found = []
    for column in columns:
        text = next((t for t in table[column] if t.strip()), "").strip()
        if text.upper().startswith(("POLYGON", "MULTIPOLYGON")):
            found.append((column, _add_wkt))
        elif text.startswith("[[") or (text.startswith("[") and wanted):
            found.append((column, _add_list))
        elif text.startswith("{") and ("shape" in column or wanted):
            found.append((column, _add_via_cell))
        elif text == "[]":
            found.append((column, _add_list))
    pair = find_key(table, _X_KEYS), find_key(table, _Y_KEYS)
    if not found and None not in pair and not wanted:
        return list(pair), _add_points
    if not found:
        raise DataError(
            f"{path}: expected a column of polygons (WKT, [[x, y], ...] or "
            "VIA shapes) or the columns x and y, found "
            f"{shortened(', '.join(table))}. "
            + rules.advice("Add one", ", or name it with --polygon-column")
        )
    column, parse = next((f for f in found if "pix" in f[0].lower()), found[0])
    return [column], parse


def _label_reader(table, parse, attribute, path):
    """A function that returns the class of a table's row."""
    if parse is _add_via_cell and "region_attributes" in table:
        return lambda row: label_of(
            json.loads(row["region_attributes"] or "{}"), attribute
        )
    column = find_key(table, CLASS_KEYS)
    if attribute:
        column = _existing(table, attribute, "--attribute", path)
    return lambda row: row[column] if column else None


def _add_wkt(text, place, annotation, label):
    try:
        geometry = shapely.force_2d(shapely.from_wkt(text))
    except shapely.errors.ShapelyError as error:
        raise DataError(
            f"{place}: expected WKT such as POLYGON ((0 0, 4 0, 4 3, 0 0)): "
            f"{shortened(error)}. Correct it."
        ) from None
    shapes = areas(geometry)
    if not shapes and not geometry.is_empty:
        annotation.repairs[Repair.NO_AREA] += 1
    for one in shapes:
        check_reach(one, place)
        add(annotation, one, label)


def _add_list(text, place, annotation, label):
    _add_all(parse_article_text(text, place), annotation, label)


def _add_all(one, annotation, label):
    """Add what a list of points was found to hold."""
    annotation.repairs += one.repairs
    for instance in one.instances:
        add(annotation, instance.geometry, label)


def _add_via_cell(text, place, annotation, label):
    shape = json.loads(text)
    if shape:
        add_shape(annotation, shape, label)


def _has_lists(table, columns):
    """Whether the cells of x and y hold lists, not one number each."""
    texts = (text.strip() for text in table[columns[0]])
    first = next((text for text in texts if text), "")
    return len(_split(first)) > 1 or first.startswith("[")


def _split(cell):
    return cell.strip("[]() ").replace(";", ",").replace(",", " ").split()


def _add_points(xs, ys, place, annotation, label):
    """Two lists, of x and of y, as one row's polygon."""
    xs, ys = _split(xs), _split(ys)
    if len(xs) != len(ys):
        raise DataError(
            f"{place}: expected as many y as x, found {len(xs)} x and "
            f"{len(ys)} y. Correct the row."
        )
    _add_pairs(_closed([*zip(xs, ys, strict=True)]), place, annotation, label)


def _closed(pairs):
    """One ring's points, the first one again at the end."""
    return pairs if pairs[0] == pairs[-1] else [*pairs, pairs[0]]


def _add_pairs(pairs, place, annotation, label):
    try:
        points = np.array(pairs, np.float64).tolist()
    except ValueError as error:
        raise DataError(
            f"{place}: expected numbers for x and y ({shortened(error)}). "
            "Correct them."
        ) from None
    text = str(points)
    _add_all(annotation_of_points(points, text, place), annotation, label)


def _read_points(table, names, columns, label_of_row, annotations, path):
    """One point a row: an object's rows follow each other or share a number.

    Without such a number the points of an image are read as the article's
    list: a ring ends where its first point comes again.
    """
    key = find_key(table, _OBJECT_KEYS)
    if key is None or key in columns or table[key].is_unique:
        objects = [""] * len(table)
    else:
        objects = table[key].tolist()
    rows = defaultdict(list)
    for number, (name, one, row) in enumerate(
        zip(names, objects, table.to_dict("records"), strict=True), start=2
    ):
        rows[name, one, label_of_row(row)].append((number, row))
    for (name, one, label), members in rows.items():
        annotation = annotations[name]
        pairs = [[row[c].strip() for c in columns] for _, row in members]
        place = f"{path}, line {members[0][0]}"
        if any(map(any, pairs)):
            pairs = _closed(pairs) if one else pairs
            _add_pairs(pairs, place, annotation, label)
