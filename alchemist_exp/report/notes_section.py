"""The section of a run's page with its notes, gold labels, seconds and repeated rows."""

from collections.abc import Sequence
from typing import Final

from alchemist_exp.report.blocks import (
    BulletList,
    Cell,
    Columns,
    Figure,
    PageSection,
    PageTable,
    Paragraph,
    TableColumn,
    shorten,
)
from alchemist_exp.report.charts import Bar, bars
from alchemist_exp.results.record import RunRecord
from alchemist_exp.results.report import UNKNOWN

_NOTE_CHARS: Final = 2_000


def notes_section(record: RunRecord) -> PageSection:
    """Return the notes and warnings of a run, and the gold labels that it used.

    Args:
        record: Its record.

    """
    notes = [shorten(note, _NOTE_CHARS) for note in (*record.label_model["warnings"], *record.notes)]
    ledger = []
    for use in record.data["gold_used"]:
        split, _, purpose = use.partition(": ")
        ledger.append([Cell(text=shorten(split)), Cell(text=shorten(purpose, 200))])
    seconds = [(name.replace("_", " "), value) for name, value in record.seconds.items() if name != "total"]
    longest = max((value for _, value in seconds), default=0.0)
    chart = [Bar(label=shorten(name, 24), value=value, text=f"{value:.1f} s") for name, value in seconds]
    caption = f"Seconds of each stage; {record.seconds['total']:.1f} in total."
    gold = [
        TableColumn(name="split", numeric=False),
        TableColumn(name="what its gold labels were used for", numeric=False),
    ]
    return PageSection(
        id="notes",
        title="Notes and gold labels",
        blocks=[
            BulletList(items=notes, title="Notes and warnings", warning=True)
            if notes
            else Paragraph(text="No warnings."),
            Columns(
                blocks=[
                    PageTable(columns=gold, rows=ledger, caption="Gold ledger"),
                    *(
                        [Figure(svg=bars(chart, maximum=longest, description=caption), caption=caption)]
                        if chart
                        else []
                    ),
                ]
            ),
            *_repeats(record),
        ],
    )


def _repeats(record: RunRecord) -> Sequence[PageTable]:
    """Return the counts of rows that repeat a text, by split."""
    found = record.data.get("repeats") or {}
    rows = []
    for split, within in (found.get("within") or {}).items():
        across = found["across"].get(split, {})
        earlier = ", ".join(f"{count:,} in {shorten(other)}" for other, count in across.items())
        total = record.data["rows"][split]
        cells = [split, f"{total:,}", f"{within:,}", earlier or UNKNOWN]
        rows.append([Cell(text=cell) for cell in cells])
    names = ("rows", "repeats in the split itself", "repeats of earlier splits")
    columns = [TableColumn(name="split", numeric=False), *(TableColumn(name=name) for name in names)]
    return [PageTable(columns=columns, rows=rows, caption="Repeated rows")] if rows else []
