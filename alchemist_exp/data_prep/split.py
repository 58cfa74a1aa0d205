"""Shuffle rows and divide them, class by class, into train, valid and test.

The position of a row is the hash of the seed, its content and the number of equal rows before it. So the same rows give
the same splits in any order of the files, on every machine and with every version of every library. Equal texts are
assigned to splits independently, as in any random split.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data.hold_out import apportion
from alchemist_exp.data_prep.raw import RawRow


@dataclass(frozen=True)
class Sizes:
    """Rows of each split.

    Attributes:
        train: Rows of the training split.
        valid: Rows of the validation split.
        test: Rows of the test split; None for all other rows.

    """

    train: int
    valid: int
    test: int | None = None

    @property
    def total(self) -> int:
        """The number of rows that are needed at least."""
        return self.train + self.valid + (1 if self.test is None else self.test)


def shuffle(rows: Sequence[RawRow], seed: int) -> list[RawRow]:
    """Return the rows in the order of their hashes.

    Args:
        rows: The rows, in any order.
        seed: Another seed gives another order.

    Returns:
        The same rows.

    """
    seen: Counter[tuple[str, int]] = Counter()
    hashes = []
    for row in rows:
        key = (row.text, row.label)
        content = f"{seed}\n{seen[key]}\n{row.label}\n{row.text}".encode("utf-8", "surrogatepass")
        hashes.append(hashlib.sha256(content).digest())
        seen[key] += 1
    return [rows[i] for i in sorted(range(len(rows)), key=hashes.__getitem__)]


def divide(rows: Sequence[RawRow], sizes: Sizes, seed: int, where: str) -> dict[Split, list[RawRow]]:
    """Divide rows into stratified splits.

    Args:
        rows: The rows, in any order.
        sizes: Rows of each split.
        seed: Another seed gives other splits.
        where: The file, for messages.

    Returns:
        The splits, shuffled. Each has the class shares of `rows`. If `sizes.test` is not None, some rows are in no
        split.

    Raises:
        DataError: There are too few rows.

    """
    if len(rows) < sizes.total:
        raise DataError(
            f"{where} has {len(rows):,} rows with text, but {sizes.total:,} are needed; download the complete file."
        )
    remaining = defaultdict(list)
    for row in shuffle(rows, seed):
        remaining[row.label].append(row)
    splits: dict[Split, list[RawRow]] = {}
    for split, size in ((Split.TRAIN, sizes.train), (Split.VALID, sizes.valid), (Split.TEST, sizes.test)):
        counts = {label: len(remaining[label]) for label in sorted(remaining)}
        taken = counts if size is None else apportion(size, counts)
        splits[split] = shuffle([row for label, n in taken.items() for row in remaining[label][:n]], seed)
        remaining = defaultdict(list, {label: remaining[label][n:] for label, n in taken.items()})
    return splits
