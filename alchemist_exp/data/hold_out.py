"""Divide the rows of a single file into train, valid and test."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import Split

SEED = 0
"""Part of the hashes that choose rows; another seed would choose others."""


def hold_out(texts: Sequence[object], labels: Sequence[int | None], share: float, where: str) -> dict[Split, list[int]]:
    """Divide rows by their labels. Rows without a label are for training, if there are any.

    Args:
        texts: The texts.
        labels: The class index of each row; None where the label is missing.
        share: The share of the labeled rows that become test. If all rows are labeled, the same share becomes valid.
        where: The file, for messages.

    Returns:
        The rows of each split, in their order. Test and valid are stratified (drawn class by class); a row is drawn by
        the hash of its text and label, so that equal files are divided equally.

    Raises:
        DataError: The share leaves a split without rows.

    Example:
        >>> divided = hold_out(["a", "b", "c", "d", "e"], [0, 0, None, 1, 1], 0.5, "a.csv")
        >>> {split.value: len(rows) for split, rows in divided.items()}
        {'train': 1, 'valid': 2, 'test': 2}

    """
    labeled = [row for row, label in enumerate(labels) if label is not None]
    unlabeled = [row for row, label in enumerate(labels) if label is None]
    n_test = round(share * len(labeled)) if share else 0
    test = _draw(labeled, texts, labels, n_test)
    rest = [row for row in labeled if row not in test]
    valid = set(rest) if unlabeled else _draw(rest, texts, labels, n_test)
    splits = {
        Split.TRAIN: unlabeled or [row for row in rest if row not in valid],
        Split.VALID: sorted(valid),
        Split.TEST: sorted(test),
    }
    if share and not all(splits.values()):
        raise DataError(
            f"dataset.test_share={share:g} divides the {len(labeled):,} labeled rows of {where} into "
            f"{', '.join(f'{len(rows)} {split}' for split, rows in splits.items())}; each split needs a row: "
            "change it, or label more rows."
        )
    return {split: rows for split, rows in splits.items() if rows}


def _draw(rows: Sequence[int], texts: Sequence[object], labels: Sequence[int | None], size: int) -> set[int]:
    """Return `size` rows with the class shares of `rows`."""

    def place(row: int) -> tuple[bytes, int]:
        """Return the sort key of a row: a hash of its content, so that other rows do not alter the draw."""
        content = f"{SEED}\n{labels[row]}\n{texts[row]}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(content).digest(), row

    by_class: dict[int, list[int]] = defaultdict(list)
    for row in sorted(rows, key=place):
        if (label := labels[row]) is not None:
            by_class[label].append(row)
    taken = apportion(size, {label: len(by_class[label]) for label in sorted(by_class)})
    return {row for label, n in taken.items() for row in by_class[label][:n]}


def apportion(size: int, counts: dict[int, int]) -> dict[int, int]:
    """Divide a number of rows among classes in proportion to their counts, by the largest remainders.

    Args:
        size: The number of rows.
        counts: The rows of each class.

    Returns:
        Rows of each class, with the sum `size`. Of equal remainders the lower class comes first.

    Example:
        >>> apportion(5, {0: 1, 1: 1, 2: 1})
        {0: 2, 1: 2, 2: 1}

    """
    total = sum(counts.values()) or 1
    exact = {label: divmod(size * count, total) for label, count in counts.items()}
    whole = {label: quotient for label, (quotient, _) in exact.items()}
    by_remainder = sorted(counts, key=lambda label: (-exact[label][1], label))
    for label in by_remainder[: size - sum(whole.values())]:
        whole[label] += 1
    return whole
