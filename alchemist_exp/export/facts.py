"""What card and metadata say of a run: values of its record, which may be from another person, after a check."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alchemist_exp.export.tables import GOLD, MODEL, PROGRAMS, WrittenSplit
from alchemist_exp.labeling.run_files import StoredRun
from alchemist_exp.results.edits import parent_of
from alchemist_exp.results.run_names import dataset_title


@dataclass(frozen=True, kw_only=True)
class SplitScores:
    """SplitScores of labels on one split, where there are gold labels.

    Attributes:
        what: What the labels are from: the label model, or the distilled model.
        split: Our name of the split.
        accuracy: Share of correct rows; None if it is not known.
        ece: Expected calibration error; None if it is not known.

    """

    what: str
    split: str
    accuracy: float | None
    ece: float | None


@dataclass(frozen=True, kw_only=True)
class ExportFacts:
    """What card and metadata say.

    Attributes:
        name: The name of the dataset.
        license: The licence of the source; "" if it is not known.
        kind: texts, records or images.
        run_key: The run's key.
        version: The version of this package that made the run.
        code: The key of its source code.
        date: When the run finished.
        choices: The member of each group, such as method and label_model.
        llm: The name of the LLM that was asked; "" if no response was used, as with programs of the user.
        weak_source: What gave the weak labels, as `label_source` names it.
        classes: The class names.
        coverage: The share of rows with a weak label, by split.
        scores: SplitScores where there are gold labels.
        programs: Of each program that votes: file, key, and its coverage and accuracy if they are known.
        gold_used: What gold labels were used for.
        temperature: The temperature of the distilled model; None if it is not calibrated.
        notes: The notes of the run.
        splits: The splits as they were written.
        parent: The key of the run that this one was made of by `alchemist programs edit`; "" for other runs.
        n_edited: How many programs that run does not have.

    """

    name: str
    license: str
    kind: str
    run_key: str
    version: str
    code: str
    date: str
    choices: Mapping[str, str]
    llm: str
    weak_source: str
    classes: Sequence[str]
    coverage: Mapping[str, float]
    scores: Sequence[SplitScores]
    programs: Sequence[tuple[str, str, float | None, float | None]]
    gold_used: Sequence[str]
    temperature: float | None
    notes: Sequence[str]
    splits: Sequence[WrittenSplit]
    parent: str
    n_edited: int

    @property
    def asked_llm(self) -> str:
        """The LLM that was asked, or where its programs come from; "none" if there was none."""
        return self.llm or (f"none in this run, see run {self.parent}" if self.parent else "none")

    @property
    def n_rows(self) -> int:
        """The number of rows of all splits."""
        return sum(split.rows for split in self.splits)

    @property
    def sources(self) -> dict[str, int]:
        """The number of rows of all splits by `label_source`."""
        found = {name: sum(split.sources[name] for split in self.splits) for name in (GOLD, self.weak_source, MODEL)}
        return {name: count for name, count in found.items() if count}


def weak_source(run: StoredRun) -> str:
    """Return what `label_source` calls the weak labels of a run.

    Args:
        run: The run.

    Returns:
        "programs"; for a method that labels without programs, or asks an LLM for rows in doubt, the method's name.

    """
    method = _text(run.config("method").get("name"))
    only_programs = _of(run.record.label_model, "name") != _of(run.record.programs, "source") and method != "hybrid"
    return PROGRAMS if only_programs or not method else method


def facts_of(run: StoredRun, splits: Sequence[WrittenSplit], keys: Mapping[str, str]) -> ExportFacts:
    """Collect what card and metadata say.

    Args:
        run: The run.
        splits: The splits as they were written.
        keys: The key of each program that votes, by its file.

    Returns:
        The facts.

    """
    record = run.record
    data = record.data if isinstance(record.data, dict) else {}
    listed = {_text(one.get("file")): one for one in _list(record.programs, "list") if isinstance(one, dict)}
    groups = ("method", "llm", "supplement", "selection", "label_model", "feature_extractor", "end_model", "gold")
    coverage = _of(record.label_model, "coverage")
    # A run that asks no LLM has the default member in its configuration nevertheless.
    asked_llm = any(_number(_of(record.cost, name)) for name in ("calls", "cached_calls"))
    unused = () if asked_llm else ("llm", "supplement")
    return ExportFacts(
        name=dataset_title({"name": _text(data.get("name")) or "dataset", "path": run.config("dataset").get("path")}),
        license=_text(data.get("license")),
        kind=_text(data.get("kind")),
        run_key=_text(record.run_key),
        version=_text(record.packages.get("alchemist-exp") if isinstance(record.packages, dict) else None),
        code=_text(record.code),
        date=_text(record.finished_at),
        choices={
            group: name for group in groups if group not in unused and (name := _text(run.config(group).get("name")))
        },
        llm=_text(run.config("llm").get("model")) if asked_llm else "",
        weak_source=weak_source(run),
        classes=run.classes,
        coverage={
            str(split): share
            for split, value in (coverage.items() if isinstance(coverage, dict) else ())
            if (share := _number(value)) is not None
        },
        scores=[*_scores(record.label_model, "label model"), *_scores(record.end_model, "distilled model")],
        programs=[
            (file, key, _number(_of(listed.get(file), "coverage")), _number(_of(listed.get(file), "accuracy")))
            for file, key in keys.items()
        ],
        gold_used=[_text(use) for use in _list(data, "gold_used")],
        temperature=_number(_of(record.end_model, "temperature")),
        notes=[_text(note) for note in record.notes] if isinstance(record.notes, list) else [],
        splits=splits,
        parent=parent_of(record) or "",
        # The header of an unchanged program names the program itself.
        n_edited=sum(_text(one.get("parent_id")) not in ("", one.get("id")) for one in listed.values()),
    )


def _scores(section: object, what: str) -> list[SplitScores]:
    """Return the scores of a section of the record by split; those of seeds are means."""
    metrics, calibration = _of(section, "metrics"), _of(section, "calibration")
    found = []
    for split in ("train", "valid", "test"):
        accuracy = _of(_of(metrics, split), "accuracy")
        accuracy = _of(accuracy, "mean") if isinstance(accuracy, dict) else accuracy
        ece = _of(_of(calibration, split), "ece")
        if accuracy is not None or ece is not None:
            found.append(SplitScores(what=what, split=split, accuracy=_number(accuracy), ece=_number(ece)))
    return found


def _of(section: object, key: str) -> Any:
    return section.get(key) if isinstance(section, dict) else None


def _list(section: object, key: str) -> list[Any]:
    return found if isinstance(found := _of(section, key), list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
