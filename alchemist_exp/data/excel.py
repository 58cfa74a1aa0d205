"""The reader of Excel workbooks."""

from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from alchemist_exp.core.errors import MissingPackageError, install_command
from alchemist_exp.data.table import Table


def read_excel(path: Path) -> Table:
    """Return the first sheet as text, like a CSV file; an empty cell is an empty text.

    Cells that only look empty are refused: formulas without a stored value, and the hidden part of merged cells.
    """
    try:
        from openpyxl import load_workbook
        from openpyxl.utils.exceptions import InvalidFileException
    except ImportError as error:
        raise MissingPackageError(
            f"{path} needs the package openpyxl; install it with: {install_command('xlsx')}"
        ) from error
    try:
        book = load_workbook(path, read_only=True, data_only=True)
        sheets = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
        sheets[0].reset_dimensions()  # some programs store a wrong size, which would cut rows and columns
        found = [[*row] for row in sheets[0].iter_rows()]
        width = max(map(len, found), default=0)
        cells = [["" if cell.value is None else str(cell.value) for cell in row] for row in found]
        cells = [row + [""] * (width - len(row)) for row in cells]
        if any("" in row for row in cells):
            # The value of a formula may be "", which has this type.
            empty = {cell.coordinate for row in found for cell in row if cell.value is None and cell.data_type == "str"}
            _refuse_hidden_cells(load_workbook(path)[sheets[0].title], cells, empty)
    except (BadZipFile, KeyError, IndexError, InvalidFileException) as error:
        raise ValueError(f"it is not an Excel workbook with a sheet ({error})") from error
    header, *rows = [row for row in cells if any(row)] or [[]]
    used = [i for i, name in enumerate(header) if name or any(row[i] for row in rows)]
    names = [header[i] for i in used]
    if not names:
        raise ValueError("its first sheet is empty; the first row must have the names of the columns")
    if len(set(names)) < len(names):
        raise ValueError(f"two columns have the same name in {names}")
    others = ", ".join(repr(sheet.title) for sheet in sheets[1:])
    notes = (f"{path.name}: only its first sheet {sheets[0].title!r} is read, not {others}.",) if others else ()
    return Table(columns={header[i]: [row[i] for row in rows] for i in used}, notes=notes)


def _refuse_hidden_cells(sheet: Any, cells: Sequence[Sequence[str]], empty: Container[str]) -> None:
    """Raise ValueError for formulas without a stored value, but for those in `empty`, and for merged cells."""
    formulas = [
        cell.coordinate
        for row, texts in zip(sheet.iter_rows(max_row=len(cells)), cells, strict=False)
        for cell, text in zip(row, texts, strict=False)
        if not text and cell.data_type == "f" and cell.coordinate not in empty
    ]
    if formulas:
        raise ValueError(
            f"the formulas in {_first(formulas)} of its sheet {sheet.title!r} have no stored value; open the file in a "
            "spreadsheet program and save it, or replace the formulas by their values"
        )
    if merged := sorted(str(area) for area in sheet.merged_cells.ranges):
        raise ValueError(
            f"the cells {_first(merged)} of its sheet {sheet.title!r} are merged, so all but one of them are empty; "
            "unmerge them and write the value in each cell"
        )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
