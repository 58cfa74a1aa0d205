"""Writes the directory of a run of another person, who put scripts into all of its texts."""

from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from alchemist_exp.core.atomic_io import write_json
from tests.support.records import record

ATTACK = "</script><script>planted=1</script><img src=x onerror=planted=1>\" onload='planted=1' \x1b[2J\u202e{{ 7*7 }}"
CLASSES = [f"ham {ATTACK}", f"spam {ATTACK}"]
PROGRAMS = ["first.py", "second.py"]
SOURCE = f"def label_function(text):\n    # {ATTACK}\n    return '{ATTACK}'\n"
N_ROWS = 40


def write_run(directory: Path, **changes: Any) -> Path:
    """Write the run.

    Args:
        directory: The run's directory.
        changes: Sections of the record.

    Returns:
        The directory.

    """
    directory.mkdir(parents=True)
    write_json(directory / "record.json", _record() | changes)
    write_json(
        directory / "model" / "end_model.json",
        {"curves": [{"seed": s, "train_loss": [1.0, 0.5], "valid_score": [0.6, 0.9], "best_epoch": 1} for s in (0, 1)]},
    )
    (directory / "programs").mkdir()
    for name in PROGRAMS:
        (directory / "programs" / name).write_text(SOURCE, encoding="utf-8")
    parquet.write_table(_labels(), directory / "labels.parquet")
    return directory


def _labels() -> pa.Table:
    """40 rows of train and 40 of test; the second program is wrong on every fourth row and abstains on every fifth."""
    numbers = [*range(N_ROWS)] * 2
    gold = [CLASSES[n % 2] for n in numbers]
    other = [CLASSES[1 - n % 2] for n in numbers]
    second = [None if n % 5 == 0 else other[n] if n % 4 == 0 else gold[n] for n in numbers]
    return pa.table(
        {
            "split": ["train"] * N_ROWS + ["test"] * N_ROWS,
            "row": numbers,
            "text": [f"row {n} {ATTACK} {'long ' * (n % 9)}" for n in numbers],
            "gold": gold,
            "weak_label": [None if n == 7 else gold[n] for n in numbers],
            f"p({CLASSES[0]})": [0.6 if n % 2 == 0 else 0.4 for n in numbers],
            f"p({CLASSES[1]})": [0.4 if n % 2 == 0 else 0.6 for n in numbers],
            "predicted": [other[n] if n < 3 else gold[n] for n in numbers],
            "confidence": [0.95] * len(numbers),
            "vote first.py": gold,
            "vote second.py": second,
            ATTACK: [f"{ATTACK} {n % 3}" for n in numbers],
        }
    )


def _record() -> dict[str, Any]:
    made = record(config={"dataset.name": ATTACK, "dataset.classes": CLASSES}, seeds=(0, 1))
    scores = {"precision": 0.9, "recall": 0.8, "f1": 0.85, "rows": 20}
    by_class = {"test": {"confusion": [[18, 2], [1, 19]], "classes": dict.fromkeys(CLASSES, scores)}}
    programs = [
        {
            "id": name,
            "origin": ATTACK,
            "file": name,
            "coverage": 0.8,
            "polarity": CLASSES,
            "overlap": 0.8,
            "conflict": 0.2,
            "accuracy": 0.7,
            "influence": 0.1,
            "wrong": f"wrong {ATTACK}",
            "errors": {ATTACK: 2},
            "error_messages": {ATTACK: ATTACK},
            "nondeterministic": False,
        }
        for name in PROGRAMS
    ]
    rejected = [{"id": "x", "origin": ATTACK, "stage": ATTACK, "reason": ATTACK}]
    means = {name: {"mean": 0.925, "std": 0.01, "per_seed": [0.92, 0.93]} for name in ("accuracy", "f1", "macro_f1")}
    bins = [{"low": 0.9, "rows": 40, "confidence": 0.95, "accuracy": 0.925}]
    made["end_model"] |= {"metrics": {"test": means}, "metrics_unseen": {"test": means}, "by_class": by_class}
    made["end_model"]["calibration"] = {"test": {"ece": 0.0251, "rows": 40, "bins": bins}}
    of_votes = {"low": 0.5, "rows": 39, "confidence": 0.6, "accuracy": 1.0}
    made["label_model"]["calibration"] = {"test": {"ece": 0.4, "rows": 39, "bins": [of_votes]}}
    made["label_model"] |= {
        "labels": dict.fromkeys(CLASSES, 20),
        "metrics_unseen": {},
        "by_class": by_class,
        "warnings": [ATTACK],
    }
    made["data"] |= {
        "classes": CLASSES,
        "kind": "texts",
        "positive_class": CLASSES[1],
        "rows": {"train": N_ROWS, "test": N_ROWS},
        "most_frequent_class": {"test": 0.5},
        "gold_used": [f"train: {ATTACK}"],
        "repeats": {
            "within": {"train": 0, "test": 1},
            "across": {"train": {}, "test": {"train": 3}},
            "in_earlier_split": {"test": {"rows": 3, "unchanged": 1}},
        },
    }
    made["programs"] = {
        "source": "alchemist",
        "sandbox": ATTACK,
        "requested": 3,
        "candidates": 3,
        "accepted": 2,
        "selected": 2,
        "rejected": rejected,
        "rejected_by_stage": {ATTACK: 1},
        "row_outcomes": {},
        "list": programs,
    }
    made["cost"] |= {"calls": 3, "replayed": True}
    made["cost"]["break_even"] |= {
        "programs_calls": 3,
        "zero_shot_calls": 80,
        "zero_shot_batch_usd": None,
        "rows_from": 6,
        "rows_from_batch": None,
    }
    made["seconds"] = {ATTACK: 1.0, "total": 1.0}
    made["notes"] = [ATTACK]
    made["overrides"] = [ATTACK]
    made["run_key"] = "k" * 24
    return made
