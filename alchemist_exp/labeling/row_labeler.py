"""What labels rows of one kind, part after part.

Parts may be labeled in any order, on any machine: a labeler has no state. Ties between classes are broken by a random
number generator that the caller may pass from part to part.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from alchemist_exp.core.errors import AlchemistError, StoreError
from alchemist_exp.core.types import ABSTAIN, FloatArray, IntArray
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.labeling.run_files import broken


@dataclass(frozen=True, kw_only=True, eq=False)
class RowLabels:
    """The labels of a part of the rows.

    Attributes:
        classes: int64 array of shape (n_rows,), of a run with multi_label masks of classes; -1 (`ABSTAIN`) for a row
            without a label.
        probs: float32 array of shape (n_rows, n_classes); all zero for a row without a label.
        votes: int8 array of shape (n_rows, n_programs), of a run with multi_label int64 masks; no columns where no
            program was asked.
        failures: By program, why it did not finish on these rows, where it abstains on all of them.
        outcomes: The number of rows by outcome, added up over the programs; empty where no program was asked.

    """

    classes: IntArray
    probs: FloatArray
    votes: npt.NDArray[np.int8] | npt.NDArray[np.int64]
    failures: Mapping[str, str] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class RowLabeler(ABC):
    """Labels rows of one kind.

    Attributes:
        CHUNK_ROWS: Rows that are labeled at once, so that memory is bounded; `chunk_rows` is lower for images.
        kind: The kind of the rows.
        classes: The class names.
        programs: A name for each program that votes, in the order of the columns of votes.
        notes: What the user should know, one sentence each.
        multi_label: Whether several classes may hold for a row.

    """

    CHUNK_ROWS: ClassVar[int] = 8192
    kind: RowKind
    classes: tuple[str, ...]
    programs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    multi_label: bool = False

    @property
    def chunk_rows(self) -> int:
        """Rows that are labeled at once."""
        return 512 if self.kind.name == "images" else self.CHUNK_ROWS

    def label(self, rows: Sequence[str], rng: np.random.Generator | None = None) -> RowLabels:
        """Label rows.

        Args:
            rows: Rows of `kind`. Rows without content get no label.
            rng: Breaks ties between classes, see `largest_class`.

        Returns:
            The labels.

        Raises:
            AlchemistError: The rows cannot be labeled.

        """
        places = np.array([not self.kind.is_empty(row) for row in rows], np.bool_)
        kept = [row for row, has_content in zip(rows, places.tolist(), strict=True) if has_content]
        if kept:
            found = self._label(kept, rng)
        else:
            found = RowLabels(
                classes=np.zeros(0, np.int64),
                probs=np.zeros((0, len(self.classes)), np.float32),
                votes=np.zeros((0, len(self.programs)), np.int8),
            )
        if len(kept) == len(rows):
            return found
        classes = np.full(len(rows), ABSTAIN, np.int64)
        probs = np.zeros((len(rows), len(self.classes)), np.float32)
        votes = np.full((len(rows), found.votes.shape[1]), ABSTAIN, found.votes.dtype)
        classes[places], probs[places], votes[places] = found.classes, found.probs, found.votes
        return replace(found, classes=classes, probs=probs, votes=votes)

    @abstractmethod
    def _label(self, rows: Sequence[str], rng: np.random.Generator | None) -> RowLabels:
        """Label one or more rows that have content."""


@contextmanager
def naming_files(path: Path) -> Iterator[None]:
    """Turn any error of files that may be broken or hostile into one sentence that names them.

    Args:
        path: The files.

    Raises:
        StoreError: The files are broken.

    """
    try:
        yield
    except AlchemistError:
        raise
    except OSError as error:
        raise broken(path, error.strerror or str(error)) from error
    except MemoryError as error:
        raise StoreError(f"{path} needs more memory than this machine has.") from error
    except Exception as error:
        raise broken(path, f"{type(error).__name__}: {error}") from error
