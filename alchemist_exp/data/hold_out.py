"""Divide the rows of a single file into train, valid and test."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import Split
from alchemist_exp.data.label_column import is_missing
from alchemist_exp.data.split_tables import SplitTable
from alchemist_exp.data.texts import has_text

MIN_TRAIN_ROWS = 10
"""Of fewer unlabeled rows, a note says that they alone are train."""

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


def divide_rows(
    table: SplitTable,
    contents: Sequence[object],
    labels: Sequence[int | None],
    strata: Sequence[int | None],
    columns: Sequence[str],
    content: str,
    share: float,
) -> tuple[dict[Split, list[int]], list[str]]:
    """Divide the rows of a source without splits by `hold_out`; empty rows that alone have no label are left out.

    Args:
        table: The rows.
        contents: What each row is read as.
        labels: The class index or mask of each row; None where the label is missing.
        strata: What shares are equal of in each split: the labels, or their frequent sets.
        columns: The columns that rows are made of.
        content: What a row has that is not empty, for messages.
        share: The share of the labeled rows that becomes test (dataset.test_share).

    Returns:
        The rows of each split, and notes on them.

    Raises:
        DataError: The share leaves a split without rows, or there are no labels for it.

    """
    n_labeled = len(labels) - labels.count(None)
    if not n_labeled:
        if share:
            raise DataError(f"dataset.test_share={share:g} needs labels, and {table.where} has none.")
        return {Split.TRAIN: list(range(table.n_rows))}, []
    notes: list[str] = []
    unlabeled = [row for row, label in enumerate(labels) if label is None]
    empty = set(unlabeled)
    for name in columns:
        values = table.columns[name]
        empty = {r for r in empty if (not has_text(v) if isinstance(v := values[r], str) else is_missing(v))}
    # An empty last line, as spreadsheets export it, must not be the only row of train.
    left_out = empty if len(empty) == len(unlabeled) else set[int]()
    kept = [row for row in range(table.n_rows) if row not in left_out]
    divided = hold_out([contents[row] for row in kept], [strata[row] for row in kept], share, table.where)
    rows = {split: [kept[i] for i in chosen] for split, chosen in divided.items()}
    n_train = len(unlabeled) - len(empty)
    if left_out:
        notes.append(
            f"Rows of {table.where} without {content} and without a label are left out: "
            f"{len(left_out):,} (the first is row {min(left_out) + 1:,}); all others have a label."
        )
    elif 0 < n_train < min(MIN_TRAIN_ROWS, n_labeled):
        notes.append(
            f"Only {n_train:,} {'row' if n_train == 1 else 'rows'} of {table.where} with {content} "
            f"{'has' if n_train == 1 else 'have'} no label, and the rows without a label are train "
            f"({n_labeled:,} have one); if that is not meant, label or remove "
            f"{'it' if n_train == 1 else 'them'}."
        )
    sizes = ", ".join(f"{len(chosen):,} {split}" for split, chosen in rows.items())
    if len(rows) == 1:
        notes.append(
            f"Every row of {table.where} has a label and is in train, so no score is on unseen rows; "
            "dataset.test_share=0.2 holds out valid and test."
        )
    elif share:
        notes.append(f"The rows of {table.where} are divided by dataset.test_share={share:g}: {sizes}.")
    else:
        notes.append(
            f"The rows of {table.where} that have a label ({n_labeled:,}) are valid, the others are train; "
            "dataset.test_share=0.5 makes half of the labeled rows a test split."
        )
    return rows, notes


def _draw(rows: Sequence[int], texts: Sequence[object], labels: Sequence[int | None], size: int) -> set[int]:
    """Return `size` rows with the class shares of `rows`."""

    def place(row: int) -> tuple[bytes, int]:
        """Return the sort key of a row: a hash of its content, so that the draw is the same in each run."""
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
