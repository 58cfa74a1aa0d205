"""Chooses the rows that a report shows: those that programs get wrong, and a sample with filters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from alchemist_exp.core.types import ABSTAIN, BoolArray, FloatArray, IntArray, Split
from alchemist_exp.report.blocks import Filter, RowCard, Rows, RowVote, Sample, shorten
from alchemist_exp.report.explanations import Explanations
from alchemist_exp.report.pictures import Pictures
from alchemist_exp.report.rows import LabeledRows

UNCERTAIN: Final = 0.7
"""A label with a lower probability is uncertain."""

ROWS_PER_FILTER: Final = 60
"""Rows of the sample that are chosen for each filter, and as many at random."""

ROWS_PER_PROGRAM: Final = 6
TEXT_CHARS: Final = 600
MAX_VOTES: Final = 40

_MEANINGS: Final = {
    "wrong": "a label differs from gold",
    "uncertain": f"a label has a probability below {UNCERTAIN}",
    "conflicting": "programs vote for different classes",
    "uncovered": "the label model gives no label",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class RowSampler:
    """Chooses rows and prepares them for a page.

    Attributes:
        rows: All rows of the run.
        classes: The class names.
        programs: The names of the programs that voted, in the order of the columns of votes.
        pictures: The pictures of image rows; None for other rows.
        share: The share of the usual number of rows that is shown, at most 1.

    """

    rows: LabeledRows
    classes: Sequence[str]
    programs: Sequence[str]
    pictures: Pictures | None
    share: float = 1.0

    @cached_property
    def audited(self) -> BoolArray:
        """The rows that are shown: those of train and valid.

        Programs that are corrected by rows of test would make its scores too high. Test is shown where no other split
        has gold labels.
        """
        labeled = {*self.rows.split[self.rows.gold != ABSTAIN].tolist()}
        if labeled == {Split.TEST.value}:
            return np.ones(len(self.rows), dtype=bool)
        return ~self.rows.of_split(Split.TEST.value)

    @cached_property
    def flags(self) -> Mapping[str, BoolArray]:
        """Which rows pass each filter."""
        rows, voted = self.rows, self.rows.votes != ABSTAIN
        lowest = np.where(voted, rows.votes, np.int8(127)).min(axis=1, initial=127)
        with np.errstate(invalid="ignore"):  # NaN is not below
            uncertain = (rows.weak_share < UNCERTAIN) | (rows.confidence < UNCERTAIN)
        return {
            "wrong": rows.wrong,
            "uncertain": uncertain,
            "conflicting": rows.votes.max(axis=1, initial=ABSTAIN) > lowest,
            "uncovered": rows.weak == ABSTAIN,
        }

    @cached_property
    def chosen(self) -> list[int]:
        """The positions of the rows of the sample: some for each filter, and some at random.

        The rows of a smaller share are among those of a larger one.
        """
        rng, n = np.random.default_rng(0), max(1, round(ROWS_PER_FILTER * self.share))
        drawn = {*self._draw(self.audited, n, rng)}
        for flag in self.flags.values():
            drawn |= {*self._draw(flag & self.audited, n, rng)}
        return sorted(drawn)

    def sample(self, explanations: Explanations) -> Sample:
        """Return the rows of the sample.

        Args:
            explanations: The explanations of these rows.

        """
        order = self.chosen
        counts = {name: (int(flag[order].sum()), int((flag & self.audited).sum())) for name, flag in self.flags.items()}
        filters = [
            Filter(flag=name, title=_MEANINGS[name], n_shown=shown, n_total=total)
            for name, (shown, total) in counts.items()
            if total
        ]
        n_all = int(self.audited.sum()) + self.rows.n_total - len(self.rows)
        everything = Filter(flag="", title="all rows of the sample", n_shown=len(order), n_total=n_all)
        shown_classes = [f"{number} {shorten(name, 30)}" for number, name in enumerate(self.classes[:12])]
        more = f" and {len(self.classes) - 12} more" if len(self.classes) > 12 else ""
        return Sample(
            rows=[replace(self.show(row), explanation=explanations.of_row(row)) for row in order],
            filters=[everything, *filters],
            legend=", ".join(shown_classes) + more if self.rows.votes.shape[1] else "",
        )

    def wrong_rows(self, program: int) -> Rows | None:
        """Return rows on which a program votes for another class than gold; None without gold labels or votes.

        Args:
            program: The column of its votes.

        """
        if program >= self.rows.votes.shape[1]:
            return None
        votes = self.rows.votes[:, program]
        compared = self.audited & (self.rows.gold != ABSTAIN) & (votes != ABSTAIN)
        wrong = compared & (votes != self.rows.gold)
        if not compared.any():
            return None
        drawn = self._draw(wrong, max(1, round(ROWS_PER_PROGRAM * self.share)), np.random.default_rng(0))
        splits = " and ".join(dict.fromkeys(self.rows.split[compared].tolist()))
        total = int(wrong.sum())
        counted = f"{len(drawn)} of {total:,}" if len(drawn) < total else f"all {total:,}" if total else "none"
        title = f"Wrong votes: {counted} ({int(compared.sum()):,} votes on rows of {splits} with gold labels)"
        return Rows(rows=[self.show(int(row), vote=int(votes[row])) for row in drawn], title=title)

    def _draw(self, which: BoolArray, n: int, rng: np.random.Generator) -> list[int]:
        """Return the positions of n rows; with the same generator, those of a smaller n are among them."""
        drawn: IntArray = np.sort(rng.permutation(np.flatnonzero(which))[:n])
        return [int(row) for row in drawn]

    def show(self, row: int, vote: int | None = None) -> RowCard:
        """Return a row for a page.

        Args:
            row: Its position in `rows`.
            vote: The vote of one program, which then takes the place of all labels and votes.

        """
        rows = self.rows
        text = rows.text(row)
        n_votes = min(MAX_VOTES, len(self.programs)) if vote is None and rows.votes.size else 0
        labels: list[tuple[str, IntArray, FloatArray | None]] = [("gold", rows.gold, None)]
        if vote is None:
            labels += [("label model", rows.weak, rows.weak_share), ("distilled", rows.predicted, rows.confidence)]
        facts, wrong = [], []
        for name, of_rows, shares in labels:
            if (label := int(of_rows[row])) != ABSTAIN:
                share = "" if shares is None else f" {float(shares[row]):.2f}"
                facts.append((name, shorten(self.classes[label], 40) + share))
                wrong += [name] if rows.gold[row] not in (ABSTAIN, label) else []
            elif name == "label model":
                facts.append((name, "no label"))
        if vote is not None:
            facts.append(("vote", shorten(self.classes[vote], 40)))
            wrong.append("vote")
        votes = []
        for program, number in zip(self.programs, rows.votes[row, :n_votes].tolist(), strict=False):
            abstains = number == ABSTAIN
            votes.append(
                RowVote(
                    program=shorten(program, 40),
                    number="" if abstains else str(number),
                    name="abstains" if abstains else shorten(self.classes[number], 40),
                    wrong=not abstains and int(rows.gold[row]) not in (ABSTAIN, number),
                )
            )
        return RowCard(
            place=f"{rows.split[row]} {int(rows.number[row]):,}",
            content=shorten(text, TEXT_CHARS),
            image="" if self.pictures is None else self.pictures.uri(text),
            facts=facts,
            wrong=wrong,
            votes=votes,
            flags=[name for name, flag in self.flags.items() if flag[row]],
        )
