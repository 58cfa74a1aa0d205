"""Draws images of a run with their scores and votes: right and wrong ones, so that a person sees what programs do."""

from pathlib import Path
from typing import Final

import numpy as np

from alchemist_exp.core.atomic_io import write_bytes
from alchemist_exp.core.types import ABSTAIN, Split
from alchemist_exp.data.images.rows import ImageRows, pixels_of
from alchemist_exp.data.text_data import TextData
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.results.image_cells import GridCell
from alchemist_exp.results.image_grid import MAX_CELLS, choose_cells, image_grid

_MAX_PROGRAMS: Final = 20
_SEED: Final = 0


def save_image_figure(path: Path, data: TextData, result: LabelingResult) -> None:
    """Draw up to 16 images of test, or of valid or train where it has no labels of ours, and write the picture.

    Args:
        path: The picture, a .png file. Nothing is written for rows that are not images.
        data: The dataset, with its gold labels: half of the images are right and half wrong, if there are enough.
        result: The labels, the votes, and the concepts with their scores.

    """
    if not isinstance(data.kind, ImageRows):
        return
    split = next(split for split in (Split.TEST, Split.VALID, Split.TRAIN) if split in result.labels)
    hard, gold, classes = result.labels[split].hard(), data.gold(split), data.task.classes
    labeled = np.flatnonzero(hard != ABSTAIN)
    right = np.ones(len(hard), dtype=np.bool_) if gold is None else hard == gold
    rows = labeled[choose_cells(right[labeled], MAX_CELLS if gold is not None else 2 * MAX_CELLS, _SEED)][:MAX_CELLS]
    if not len(rows):
        return
    concepts = result.concepts
    scores = None if concepts is None else concepts.program_scores(split)
    votes = result.sources.matrices[split].votes[:, :_MAX_PROGRAMS]
    cells = [
        GridCell(
            image=pixels_of(data.texts(split)[row]),
            name=data.kind.show(data.texts(split)[row]),
            gold=None if gold is None else classes[gold[row]],
            predicted=classes[hard[row]],
            right=None if gold is None else bool(right[row]),
            scores=() if scores is None else tuple(scores[row].tolist()),
            votes=tuple(None if vote == ABSTAIN else classes[vote] for vote in votes[row]),
        )
        for row in rows
    ]
    n_left_out = len(result.sources.origins) - votes.shape[1]
    picture = image_grid(
        cells,
        descriptions=() if concepts is None else concepts.kept.descriptions,
        programs=result.sources.origins[:_MAX_PROGRAMS],
        title=f"{data.task.name}, {split}: labels by {result.labeled_by}"
        + (f"; scale of the scores: {concepts.scale}" if concepts is not None else "")
        + (f" (votes of {n_left_out} more programs are not shown)" if n_left_out else ""),
    )
    write_bytes(path, picture)
