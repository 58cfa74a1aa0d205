"""The table that `alchemist label` writes: the rows of a file with the labels and the votes of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.terminal import single_line
from alchemist_exp.data.table import Columns

if TYPE_CHECKING:
    from alchemist_exp.pipeline.run import RunResult


@dataclass(frozen=True, kw_only=True)
class LabeledTable:
    """The rows of a file with their labels.

    Attributes:
        columns: The columns of the file, then label, confidence, labeled_by and the votes of each program; None for no
            value.
        n_compared: Rows with a label in the file on which programs vote.
        n_differing: Those of them on which the programs' label is another one.

    """

    columns: Mapping[str, Sequence[Any]]
    n_compared: int
    n_differing: int


def label_rows(columns: Columns, result: "RunResult") -> LabeledTable:
    """Return the rows of a file with the labels of a run.

    Args:
        columns: The columns of the file.
        result: The run. The row numbers of its labels are those of the file, whatever split they are in.

    Returns:
        The table. A label of the file is kept, else programs label the row, else the distilled model.

    Raises:
        StoreError: The run's files are missing or broken.

    """
    import pandas as pd

    from alchemist_exp.pipeline import artifacts
    from alchemist_exp.programs.files import vote_columns

    shares = [f"p({name})" for name in result.record.data["classes"]]
    path = result.directory / artifacts.LABELS
    votes = vote_columns(program["file"] for program in result.record.programs["list"] if program["file"])
    needed = ["split", "row", "gold", "weak_label", "predicted", "confidence", *shares, *votes]
    try:
        rows = pd.read_parquet(path, columns=needed)
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(
            f"the labels in {result.directory} cannot be read ({single_line(str(error))}); run again with force=true."
        ) from error
    by_program = rows["weak_label"].notna()
    gold, weak, predicted = (rows[name].astype(object) for name in ("gold", "weak_label", "predicted"))
    given = gold.notna()
    confidence = rows[shares].max(axis=1).where(by_program, rows["confidence"]).astype(float).round(4)
    labels = pd.DataFrame(
        {
            "label": gold.where(given, weak.where(by_program, predicted)),
            "confidence": confidence.where(~given),
            "labeled_by": by_program.map({True: "programs", False: "model"}).where(~given, "given"),
        }
    ).join(rows[["row", *votes]])
    labels = labels[labels["label"].notna()].set_index("row").astype(object)
    found = labels.reindex(range(max(map(len, columns.values()))))  # rows without text, or beyond dataset.limit
    found = found.where(found.notna(), None)
    table: dict[str, Sequence[Any]] = {}
    for name, values in columns.items():
        shown = name
        while shown in found or shown in table or (shown != name and shown in columns):
            shown = f"input_{shown}"
        table[shown] = values
    compared = given & by_program
    return LabeledTable(
        columns=table | {str(name): found[name].tolist() for name in found},
        n_compared=int(compared.sum()),
        n_differing=int((compared & (gold != weak)).sum()),
    )
