"""Generated records of runs, with the keys of real ones."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "dataset": {"name": "youtube", "metric": "accuracy", "path": "youtube", "limit": None, "classes": ["ham", "spam"]},
    "llm": {
        "name": "recorded",
        "model": "claude",
        "recording": "youtube",
        "price": {"as_of": "paper"},
        "max_in_flight": 1,
        "base_url": None,
        "structured_output": True,
    },
    "prompt": {"name": "paper"},
    "supplement": {"name": "none"},
    "method": {"name": "alchemist", "n_programs": 10},
    "selection": {"name": "all"},
    "vetting": {"name": "basic"},
    "repair": {"name": "off"},
    "label_model": {"name": "snorkel", "max_iterations": 100},
    "feature_extractor": {"name": "tfidf", "dimensions": 256},
    "end_model": {"name": "mlp", "max_epochs": 100},
    "seed": {"name": "five", "values": [0, 1, 2, 3, 4]},
    "sandbox": {"name": "seccomp", "workers": None},
    "logger": {"name": "none"},
    "gold": {"name": "valid", "use_valid": True},
    "paths": {"outputs": "outputs", "data": "data"},
    "force": False,
}
_ALL_UNUSED = ("llm", "prompt", "supplement", "sandbox", "vetting", "repair", "selection", "label_model")
UNUSED = {
    "clip_group": _ALL_UNUSED,
    "clip_zero_shot": _ALL_UNUSED,
    "roboshot": _ALL_UNUSED[2:],
    "human": ("llm", "prompt", "supplement", "sandbox", "vetting", "repair", "selection"),
    "program_files": ("llm", "prompt", "supplement", "repair"),
    "zero_shot": ("supplement", "sandbox", "vetting", "repair", "selection", "label_model"),
}
"""The groups that a method does not use; a test compares them with what the methods say."""
PER_SEED = (0.90, 0.91, 0.92, 0.93, 0.94)


def scores(value: float) -> dict[str, float]:
    return {"accuracy": value, "f1": round(value - 0.01, 6), "macro_f1": round(value - 0.02, 6)}


def group_scores(average: float) -> dict[str, float]:
    return {
        "average": average,
        "adjusted_average": round(average + 0.01, 6),
        "worst_accuracy": round(average - 0.3, 6),
        "gap": 0.3,
    }


def group_section(label_model: float, distilled: tuple[float, ...]) -> dict[str, Any]:
    """The section `groups` of a record, with what tables of results need."""
    per_seed = [group_scores(value) for value in distilled]
    end_model = {name: {"per_seed": [one[name] for one in per_seed]} for name in group_scores(0)}
    return {"label_model": {"test": group_scores(label_model)}, "end_model": {"test": end_model}}


def component_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The section `components` of a record: without what cannot alter a result."""
    ignored = {"dataset": ("path",), "llm": ("max_in_flight",), "sandbox": ("workers",)}
    not_compared = ("logger", "paths", "force")
    unused = UNUSED.get(config["method"]["name"], ())
    return {
        group: None if group in unused else {key: v for key, v in values.items() if key not in ignored.get(group, ())}
        for group, values in config.items()
        if group not in not_compared
    }


def record(
    members: Mapping[str, str] | None = None,
    *,
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    distilled: tuple[float, ...] = PER_SEED,
    label_model: float = 0.936,
    config: Mapping[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """A finished record. members: group -> member. config: dotted keys. changes: the record's own keys."""
    made = copy.deepcopy(CONFIG)
    for group, member in (members or {}).items():
        made.setdefault(group, {})["name"] = member
    made["seed"] = {"name": "five" if len(seeds) == 5 else f"s{seeds[0]}", "values": list(seeds)}
    made["llm"]["recording"] = made["dataset"]["name"]
    if made["dataset"]["name"] == "sms":
        made["dataset"]["metric"] = "f1"
    for key, value in (config or {}).items():
        group, name = key.split(".")
        made.setdefault(group, {})[name] = value
    per_seed = [scores(value) for value in distilled[: len(seeds)]]
    has_groups = made["dataset"]["name"] in ("toy_birds", "waterbirds")
    test = {name: {"mean": 0.0, "std": 0.0, "per_seed": [s[name] for s in per_seed]} for name in scores(0)}
    return {
        "schema_version": 2,
        "run_key": "",
        "status": "finished",
        "started_at": "2026-11-22T10:00:00+00:00",
        "finished_at": "2026-11-22T10:01:00+00:00",
        "error": None,
        "config": made,
        "components": component_keys(made),
        "overrides": [f"{group}={member}" for group, member in (members or {}).items()] + ["logger=none"],
        "code": "c0de" * 6,
        "packages": {"torch": "2.13.0", "numpy": "2.4"},
        "data": {"name": made["dataset"]["name"], "fingerprint": "da7a", "rows": {"train": 1586, "test": 250}},
        "programs": {"requested": 10, "accepted": 10, "selected": 10, "list": []},
        "label_model": {
            "name": made["label_model"]["name"],
            "coverage": {"train": 1.0, "test": 1.0},
            "metrics": {"test": scores(label_model) | {"rows": 250}},
            "warnings": [],
        },
        "end_model": {"name": "mlp", "seeds": list(seeds), "metrics": {"test": test}},
        "groups": group_section(label_model, distilled[: len(seeds)]) if has_groups else {},
        "cost": {
            "spent_usd": 0.0,
            "list_price_usd": None,
            "break_even": {
                "programs_usd": 0.006,
                "zero_shot_usd": 0.09,
                "basis": "tokens counted by cl100k_base",
                "price_as_of": "GPT-3.5 in the paper",
            },
        },
        "seconds": {"total": 1.0},
    } | changes


def write(outputs: Path, key: str, made: Mapping[str, Any] | str) -> Path:
    """Puts a record, or any text in its place, where a run would."""
    folder = outputs / "runs" / key
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(made if isinstance(made, str) else json.dumps(made), encoding="utf-8")
    return folder
