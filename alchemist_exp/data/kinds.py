"""All kinds of rows, and the file of a model that says which rows it takes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.task import Column
from alchemist_exp.data.images.rows import ImageRows
from alchemist_exp.data.records import RecordRows
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.data.score_rows import ScoreRows
from alchemist_exp.data.text_rows import TextRows

KINDS: Final[Mapping[str, type[RowKind]]] = {kind.name: kind for kind in (TextRows, RecordRows, ImageRows, ScoreRows)}

KIND_FILE: Final = "rows.json"


def save_kind(directory: Path, kind: RowKind) -> None:
    """Write what `load_kind` reads.

    Args:
        directory: The directory of a run's model.
        kind: The kind of the rows that the model was trained on.

    """
    columns = [{"name": c.name, "type": c.type, "category": c.category} for c in kind.columns]
    write_json(directory / KIND_FILE, {"kind": kind.name, "columns": columns})


def load_kind(directory: Path) -> RowKind:
    """Return the kind of the rows that a model was trained on.

    Args:
        directory: The directory of a run's model.

    Returns:
        The kind, with the names and types of its columns. Models of earlier versions have no such file; theirs are
        texts.

    Raises:
        StoreError: The file is broken.

    """
    path = directory / KIND_FILE
    if not path.exists():
        return TextRows()
    stored = read_json(path, what="the kind of the rows")
    try:
        return KINDS[stored["kind"]](columns=tuple(Column(**column) for column in stored["columns"]))
    except (KeyError, TypeError) as error:
        raise StoreError(f"{path} is broken; run the experiment again with force=true.") from error
