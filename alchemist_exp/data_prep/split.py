"""Shuffles rows and divides them, class by class, into train, valid and test.

A row's place is the hash of the seed, its content and how many equal rows came before it. So the same rows give the
same splits whatever the order of the files, on every machine and with every version of every library; equal texts
fall into splits independently of one another, as in any random split.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data_prep.raw import RawRow


@dataclass(frozen=True)
class Sizes:
    """Rows of each split. test: None takes all that train and valid leave."""

    train: int
    valid: int
    test: int | None = None

    @property
    def total(self) -> int:
        """Rows that are needed at least."""
        return self.train + self.valid + (1 if self.test is None else self.test)


def shuffled(rows: Sequence[RawRow], seed: int) -> list[RawRow]:
    """The rows in the order of their hashes."""
    seen: Counter[tuple[str, int]] = Counter()
    places = []
    for row in rows:
        key = (row.text, row.label)
        content = f"{seed}\n{seen[key]}\n{row.label}\n{row.text}".encode("utf-8", "surrogatepass")
        places.append(hashlib.sha256(content).digest())
        seen[key] += 1
    return [rows[i] for i in sorted(range(len(rows)), key=places.__getitem__)]


def divided(rows: Sequence[RawRow], sizes: Sizes, seed: int, where: str) -> dict[Split, list[RawRow]]:
    """The splits, each shuffled and with the classes in their shares. DataError when there are too few rows.

    Rows that no split takes, because `sizes.test` is given, are left out.
    """
    if len(rows) < sizes.total:
        raise DataError(
            f"{where} has {len(rows):,} rows with text, and {sizes.total:,} are needed; get it again, whole."
        )
    left = defaultdict(list)
    for row in shuffled(rows, seed):
        left[row.label].append(row)
    splits: dict[Split, list[RawRow]] = {}
    for split, size in ((Split.TRAIN, sizes.train), (Split.VALID, sizes.valid), (Split.TEST, sizes.test)):
        counts = {label: len(left[label]) for label in sorted(left)}
        taken = counts if size is None else shares(size, counts)
        splits[split] = shuffled([row for label, n in taken.items() for row in left[label][:n]], seed)
        left = defaultdict(list, {label: left[label][n:] for label, n in taken.items()})
    return splits


def shares(size: int, counts: dict[int, int]) -> dict[int, int]:
    """`size` divided as `counts` are: largest remainders first, of equal ones the lower class."""
    total = sum(counts.values()) or 1
    exact = {label: divmod(size * count, total) for label, count in counts.items()}
    whole = {label: quotient for label, (quotient, _) in exact.items()}
    by_remainder = sorted(counts, key=lambda label: (-exact[label][1], label))
    for label in by_remainder[: size - sum(whole.values())]:
        whole[label] += 1
    return whole
