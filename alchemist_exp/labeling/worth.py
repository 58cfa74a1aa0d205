"""Compares the distilled model of a run with the same end model trained on gold labels of train.

Gold labels of train are used for this evaluation only; nothing of the run changes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np

from alchemist_exp.core.component import naming_plugin
from alchemist_exp.core.errors import ConfigError, StoreError
from alchemist_exp.core.progress import Progress
from alchemist_exp.core.terminal import sanitize, single_line
from alchemist_exp.core.types import ABSTAIN, FloatArray, IntArray, SoftLabels, Split
from alchemist_exp.data.base import Metric
from alchemist_exp.data.row_kind import TablePart
from alchemist_exp.end_model.base import EndModel, FittedEndModel, ValidationData
from alchemist_exp.evaluation.label_worth import FIRST_ROWS, Crossing, draw_rows, find_crossing, training_sizes
from alchemist_exp.evaluation.metrics import SeedSummary, score, summarize_values
from alchemist_exp.labeling.components import Consent, make_component
from alchemist_exp.labeling.decoded_size import check_decoded_size
from alchemist_exp.labeling.model_labeler import ModelLabeler, model_labeler
from alchemist_exp.labeling.review import stored_columns
from alchemist_exp.labeling.run_files import StoredRun, broken
from alchemist_exp.pipeline.artifacts import LABELS
from alchemist_exp.results.record import RECORD

N_DRAWS: Final = 5
"""Random draws of each number of rows."""

EARLY_STOPPING: Final = f"{Split.VALID}: early stopping"
"""How the record of a run begins the use of valid that decides when to stop training."""


@dataclass(frozen=True, kw_only=True, eq=False)
class GoldRows:
    """The rows of a split that have content and a gold label.

    Attributes:
        rows: The rows, as their kind stores them.
        gold: int64 array of shape (n_rows,).

    """

    rows: Sequence[str]
    gold: IntArray


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The scores of the end model trained on a number of gold rows.

    Attributes:
        rows: The number of rows.
        scores: By split, the score over the draws.

    """

    rows: int
    scores: Mapping[str, SeedSummary]


@dataclass(frozen=True, kw_only=True)
class LabelWorth:
    """What a run is worth in hand labels.

    Attributes:
        metric: The score: accuracy, f1 or macro_f1.
        split: The split on which scores are compared.
        distilled: By split, the score of the run's distilled model over its seeds.
        curve: The scores of the end model trained on gold rows, by their number, ascending.
        crossing: The number of gold rows with the score of the distilled model, on the mean over the draws.
        crossings: The same for each draw alone.
        n_labeled: Rows of train with a gold label.
        n_stopping: Gold rows of valid that stop the training of both models; 0 if each holds out some of its own rows.
        gold_of_run: What the run used gold labels for, except for scores, as its record has it.

    """

    metric: str
    split: str
    distilled: Mapping[str, SeedSummary]
    curve: tuple[CurvePoint, ...]
    crossing: Crossing
    crossings: tuple[Crossing, ...]
    n_labeled: int
    n_stopping: int
    gold_of_run: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Measure:
    """The score by which models are compared: the dataset's own."""

    metric: str
    n_classes: int
    positive: int | None

    def has_score(self, gold: IntArray) -> bool:
        """Return whether rows with these gold labels can be scored."""
        return len(gold) > 0 and (self.metric != Metric.f1 or self.positive is None or self.positive in gold)

    def of_seeds(self, gold: IntArray, probs: FloatArray) -> list[float]:
        """Return the score of each seed; probs: float32 array of shape (n_seeds, n_rows, n_classes)."""
        found = [
            score(gold, one.argmax(axis=1).astype(np.int64), n_classes=self.n_classes, positive=self.positive)
            for one in probs
        ]
        return [float(getattr(one, self.metric)) for one in found]


def measure_worth(run: StoredRun, consent: Consent, most: int, progress: Progress) -> LabelWorth:
    """Train the end model of a run on gold rows of train, and compare its scores with the distilled model's.

    The features are those of the run: its fitted extractor transforms the rows in labels.parquet. The end model has the
    settings of the run, and draw i has its i-th seed. Training stops as it did in the run: by the gold labels of valid,
    or by held-out rows.

    Args:
        run: The run, whose files were checked.
        consent: What the user allows.
        most: The largest number of gold rows.
        progress: Shows the progress.

    Returns:
        The scores and the crossing.

    Raises:
        StoreError: A file of the run is missing or broken.
        ConfigError: The run has no distilled model, its rows are images, or there are too few gold labels.

    """
    where = single_line(str(run.directory))
    if not run.model.exists():
        raise ConfigError(
            f"the run {where} has no distilled model, as with end_model=none, so there is nothing to compare; choose a "
            "run with another end_model."
        )
    if run.record.data.get("kind") == "images":
        raise ConfigError(
            f"the rows of the run {where} are images, whose files are outside of the run, so their features cannot be "
            "computed again; alchemist worth is for runs on texts and records."
        )
    labeler, end_model = model_labeler(run, consent), make_component(run, "end_model", consent)
    if labeler.kind.name == "images":
        raise broken(run.directory / RECORD, "its model is for images, its rows are not")
    if not isinstance(end_model, EndModel):
        raise TypeError(f"end_model became a {type(end_model).__name__}")
    measure, uses = _measure(run), _gold_uses(run)
    stored = _read_gold(run, labeler)
    train = stored[Split.TRAIN]
    if len(train.gold) < FIRST_ROWS:
        raise ConfigError(
            f"train of the run {where} has {len(train.gold):,} rows with a gold label; expected {FIRST_ROWS} or more, "
            "because they are what the run is compared with."
        )
    scored = [split for split in (Split.TEST, Split.VALID) if measure.has_score(stored[split].gold)]
    if not scored:
        raise ConfigError(
            f"test and valid of the run {where} have no gold labels by which models can be scored ({measure.metric}); "
            "give one of them labels and run again."
        )
    sizes, orders = training_sizes(len(train.gold), most), draw_rows(len(train.gold), N_DRAWS)
    drawn = np.unique(np.concatenate([order[: sizes[-1]] for order in orders]))
    # Only drawn rows are transformed: train may be much larger.
    inputs = {split: stored[split].rows for split in {*scored, Split.VALID}}
    inputs[Split.TRAIN] = [train.rows[row] for row in drawn]
    features = _features(labeler, inputs, progress)
    stopping = _stopping(run, uses, stored[Split.VALID], features.get(Split.VALID), measure)
    distilled = {split: _score(labeler.model, features[split], stored[split].gold, measure) for split in scored}
    found: dict[Split, list[list[float]]] = {split: [[] for _ in sizes] for split in scored}
    seeds, one_hot = labeler.model.seeds, np.eye(measure.n_classes, dtype=np.float32)
    progress.start("training models on gold labels", len(sizes) * N_DRAWS)
    try:
        for (i, size), (draw, order) in product(enumerate(sizes), enumerate(orders)):
            rows = order[:size]
            labels = SoftLabels(probs=one_hot[train.gold[rows]], covered=np.ones(size, np.bool_))
            of_rows, seed = features[Split.TRAIN][np.searchsorted(drawn, rows)], seeds[draw % len(seeds)]
            with naming_plugin(end_model, "fit"):
                model = end_model.fit(of_rows, labels, seeds=[seed], validation=stopping)
            for split in scored:
                found[split][i] += _score(model, features[split], stored[split].gold, measure)
            progress.advance(1)
    finally:
        progress.stop()
    of_draws, target = found[scored[0]], float(np.mean(distilled[scored[0]]))
    return LabelWorth(
        metric=measure.metric,
        split=scored[0].value,
        distilled={split.value: summarize_values(values) for split, values in distilled.items()},
        curve=tuple(
            CurvePoint(rows=size, scores={split.value: summarize_values(found[split][i]) for split in scored})
            for i, size in enumerate(sizes)
        ),
        crossing=find_crossing(sizes, [float(np.mean(scores)) for scores in of_draws], target),
        crossings=tuple(find_crossing(sizes, scores, target) for scores in zip(*of_draws, strict=True)),
        n_labeled=len(train.gold),
        n_stopping=0 if stopping is None else len(stopping.gold),
        gold_of_run=tuple(sanitize(use) for use in uses if ": scoring" not in use),
    )


def _stopping(
    run: StoredRun, uses: Sequence[str], valid: GoldRows, features: FloatArray | None, measure: _Measure
) -> ValidationData | None:
    """Return the rows of valid that stop training if they did in the run; features: of shape (n_rows, n_features)."""
    if not any(use.startswith(EARLY_STOPPING) for use in uses):
        return None
    if features is None:
        raise broken(run.directory / LABELS, "valid has no gold labels, by which the run stopped training")
    positive = measure.positive if measure.metric == Metric.f1 else None
    macro = measure.metric == Metric.macro_f1
    return ValidationData(
        features=features, gold=valid.gold, n_classes=measure.n_classes, positive=positive, macro=macro
    )


def _measure(run: StoredRun) -> _Measure:
    """Return the score of the run's dataset."""
    dataset, where = run.config("dataset"), run.directory / RECORD
    metric, positive = dataset.get("metric"), dataset.get("positive_class")
    if metric not in (*Metric,):
        raise broken(where, f"its dataset.metric is {str(metric)[:40]!r}; expected {' or '.join(Metric)}")
    if positive is not None and positive not in run.classes:
        raise broken(where, f"its dataset.positive_class is {str(positive)[:40]!r}, which is not one of its classes")
    return _Measure(
        metric=str(metric),
        n_classes=len(run.classes),
        positive=None if positive is None else run.classes.index(positive),
    )


def _gold_uses(run: StoredRun) -> list[str]:
    """Return what the run used gold labels for."""
    found: Any = run.record.data.get("gold_used")
    if not isinstance(found, list) or not all(isinstance(use, str) for use in found):
        raise broken(run.directory / RECORD, "its data.gold_used is not a list of texts")
    return found


def _read_gold(run: StoredRun, labeler: ModelLabeler) -> dict[Split, GoldRows]:
    """Return the rows of each split that have content and a gold label; none for a split that does not exist."""
    from pyarrow import parquet

    kind, names, where = labeler.kind, stored_columns(labeler.kind), run.directory / LABELS
    index, found = {name: i for i, name in enumerate(run.classes)}, {}
    try:
        check_decoded_size(where, columns=["split", *names.values(), "gold"])
        table = parquet.read_table(where, columns=["split", *names.values(), "gold"], partitioning=None)
        splits, gold = table["split"].to_pylist(), [index.get(name, ABSTAIN) for name in table["gold"].to_pylist()]
        columns = {name: table[stored] for name, stored in names.items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"the labels in {run.directory} cannot be read ({single_line(str(error))}); run again with force=true."
        ) from error
    for split in Split:
        places = [i for i, one in enumerate(splits) if one == split.value and gold[i] != ABSTAIN]
        values = {name: column.take(places).to_pylist() if places else [] for name, column in columns.items()}
        rows = kind.parse_columns(TablePart(file=where, columns=values), [*names])
        kept = [i for i, row in enumerate(rows) if not kind.is_empty(row)]
        of_split = np.array([gold[places[i]] for i in kept], np.int64)
        found[split] = GoldRows(rows=[rows[i] for i in kept], gold=of_split)
    return found


def _features(
    labeler: ModelLabeler, inputs: Mapping[Split, Sequence[str]], progress: Progress
) -> dict[Split, FloatArray]:
    """Return the features of rows: float32 arrays of shape (n_rows, n_features), by split."""
    found, step = {}, labeler.chunk_rows
    progress.start("extracting features", sum(map(len, inputs.values())))
    try:
        for split, rows in inputs.items():
            parts = []
            for start in range(0, len(rows), step):
                parts.append(labeler.features(rows[start : start + step]))
                progress.advance(len(parts[-1]))
            if parts:
                found[split] = np.concatenate(parts)
    finally:
        progress.stop()
    return found


def _score(model: FittedEndModel, features: FloatArray, gold: IntArray, measure: _Measure) -> list[float]:
    """Return the score of each seed of a model."""
    return measure.of_seeds(gold, model.predict_proba(features))
