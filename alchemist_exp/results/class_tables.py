"""Scores of each class and confusion matrices, which `alchemist show -v` prints."""

from rich.console import RenderableType

from alchemist_exp.results.layout import heading, new_table, number_text
from alchemist_exp.results.record import RunRecord


def by_class_tables(record: RunRecord) -> list[RenderableType]:
    """Return a table of the classes for label model and distilled model on each split with gold labels.

    Args:
        record: The record of a finished run.

    Returns:
        Headings and tables; nothing for a record of a version that had no scores by class.

    """
    parts: list[RenderableType] = []
    for name, section in ((record.label_model["name"], record.label_model), ("distilled model", record.end_model)):
        for split, of_split in section.get("by_class", {}).items():
            how = ", and how they were labeled" if of_split.get("confusion") else ""
            parts += [heading(f"Classes, {name} on {split}", f"rows by gold class{how}")]
            classes = of_split["classes"]
            # Where several classes may hold for a row, there is no confusion matrix.
            confusion = of_split.get("confusion") or [()] * len(classes)
            as_classes = [f"as {one}" for one in classes if any(confusion)]
            table = new_table("", "precision", "recall", "F1", "rows", *as_classes)
            for (one, scores), counts in zip(classes.items(), confusion, strict=True):
                shares = (number_text(scores[key]) for key in ("precision", "recall", "f1"))
                table.add_row(one, *shares, f"{scores['rows']:,}", *(f"{count:,}" for count in counts))
            parts.append(table)
    return parts
