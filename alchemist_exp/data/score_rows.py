"""Rows that are lists of scores: what programs read in place of images (paper, Section 3.3)."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.hashing import key_of, texts_fingerprint
from alchemist_exp.data.row_kind import RowKind, TablePart

if TYPE_CHECKING:
    import pyarrow as pa

_DECIMALS = 6


@dataclass(frozen=True, kw_only=True)
class ScoreRows(RowKind):
    """Lists of scores; a program receives a list of float.

    Example:
        >>> rows = ScoreRows()
        >>> score_rows(np.array([[0.25, 0.1]]))
        ['[0.25, 0.1]']
        >>> rows.program_input(["[0.25, 0.1]"]).tolist()
        [[0.25, 0.1]]

    """

    name = "scores"
    parameter = "scores"
    annotation = "list[float]"
    without_content = "Without scores"
    repeated = "Repeated scores"
    repeats_by = "value"

    def fingerprint(self, rows: Iterable[str]) -> str:
        """Return a key of the scores."""
        return key_of("scores", texts_fingerprint(rows))

    def is_empty(self, row: str) -> bool:
        """Return False: every row has scores."""
        return False

    def check(self, rows: Sequence[str], n_rows: int, where: str) -> None:
        """Accept all scores, whatever they are."""

    def show(self, row: str, n_chars: int | None = None) -> str:
        """Return the scores with three decimals."""
        return ", ".join(f"{score:.3f}" for score in json.loads(row))

    def content(self, row: str) -> str:
        """Return "": scores quote nothing of the data."""
        return ""

    def repeat_key(self, row: str) -> str:
        """Return the row itself: the same scores."""
        return row

    def extractor_input(self, rows: Sequence[str]) -> Sequence[str]:
        """Return the scores as text."""
        return rows

    def program_input(self, rows: Sequence[str]) -> npt.NDArray[np.float64]:  # type: ignore[override]
        """Return the scores as an array.

        Args:
            rows: The rows, one or more, all with the same number of scores.

        Returns:
            float64 array of shape (n_rows, n_scores).

        """
        return np.array([json.loads(row) for row in rows], np.float64)

    def values(self, rows: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        """Return no columns: scores are no features."""
        return {}

    def arrow_columns(self, rows: Sequence[str]) -> "Mapping[str, pa.Array]":
        """Return the column scores, a list per row."""
        import pyarrow as pa

        return {"scores": pa.array([json.loads(row) for row in rows], pa.list_(pa.float64()))}

    def parse(self, line: str) -> str:
        """Return the row in a JSON list of numbers."""
        try:
            return score_rows(np.array([json.loads(line)], np.float64))[0]
        except (ValueError, TypeError, IndexError) as error:
            raise ValueError(f"expected a JSON list of numbers, not {line[:40]!r}") from error

    def parse_columns(self, part: TablePart, names: Sequence[str]) -> list[str]:
        """Raise DataError: a table has images, of which scores are made."""
        raise DataError(f"{part.file} cannot be read as scores; name a table of images.")


def score_rows(scores: npt.NDArray[np.floating]) -> list[str]:
    """Return scores as rows, with six decimals.

    Args:
        scores: float array of shape (n_rows, n_scores), all finite.

    Returns:
        One row per image.

    """
    return [json.dumps(row) for row in scores.astype(np.float64).round(_DECIMALS).tolist()]
