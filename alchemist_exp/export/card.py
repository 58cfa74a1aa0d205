"""Writes README.md: the dataset card of the Hugging Face Hub, by which `load_dataset(DIR)` finds the splits."""

from collections.abc import Sequence

import yaml

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.export.facts import ExportFacts
from alchemist_exp.export.markdown import plain, table
from alchemist_exp.export.networks import ONNX, SAFETENSORS
from alchemist_exp.export.python_labeler import LABELER
from alchemist_exp.export.tables import DATA, GOLD, JSONL, SPLIT_NAMES

_SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M", 10**7: "1M<n<10M"}

FILES = {
    f"{DATA}/": "a Parquet file for each split; class columns are numbers of `ClassLabel`",
    f"{JSONL}/": "the same rows as lines of JSON, with class names",
    LABELER: "the programs and the label model in one Python file without dependencies",
    SAFETENSORS: "the weights of the distilled model, all seeds",
    ONNX: "the distilled model from features to class probabilities, the mean over seeds",
    "croissant.json": "metadata in the Croissant format",
    "run/": "the run itself: `alchemist apply` on this directory labels new rows",
}
"""The files of an export and what they are; some are left out."""


def card(facts: ExportFacts, files: Sequence[str]) -> str:
    """Return the text of README.md.

    Args:
        facts: What is said of the run. Its texts are escaped.
        files: The keys of `FILES` that the export has.

    Returns:
        YAML and Markdown.

    """
    metadata = {
        # "found" is the word of the Hugging Face Hub for labels that came with the source.
        "annotations_creators": ["machine-generated"] + ["found"] * (GOLD in facts.sources),
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": s.name, "path": f"{DATA}/{s.name}.parquet"} for s in facts.splits],
            }
        ],
        "license": "other" if facts.license else "unknown",
        **({"license_name": sanitize(facts.license)} if facts.license else {}),
        "pretty_name": f"{sanitize(facts.name)}, labeled by {facts.weak_source}",
        "size_categories": [next((text for size, text in _SIZES.items() if facts.n_rows < size), "n>10M")],
        "tags": ["weak-supervision", "programmatic-labels", "alchemist"],
        **({"task_categories": ["text-classification"]} if facts.kind == "texts" else {}),
    }
    front_matter = yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)
    return f"---\n{front_matter}---\n\n" + "\n".join(_sections(facts, files))


def _sections(facts: ExportFacts, files: Sequence[str]) -> list[str]:
    ours = {name: str(split) for split, name in SPLIT_NAMES.items()}
    by_source = ", ".join(f"{plain(name)} {count:,}" for name, count in facts.sources.items()) or "none"
    choices = [(group.replace("_", " "), name) for group, name in facts.choices.items()]
    provenance = [("run", facts.run_key), ("finished", facts.date), ("alchemist", facts.version), ("code", facts.code)]
    provenance += [("LLM", facts.asked_llm), *choices]
    if facts.parent:
        count = f"{facts.n_edited} changed program{'s' * (facts.n_edited != 1)}"
        provenance.append(("edited from", f"run {facts.parent}, with {count}"))
    splits = []
    for one in facts.splits:
        labels = ", ".join(f"{name}: {count}" for name, count in one.labels.items())
        splits.append((one.name, one.rows, facts.coverage.get(ours[one.name]), labels))
    sections = [
        f"# {plain(facts.name)}, labeled by {plain(facts.weak_source)}",
        "",
        f"**Labels here are made by a machine**, except those with `label_source` {GOLD}, which came with the source. "
        f"Rows by `label_source`: {by_source}. Machine-made labels have errors; see the scores below.",
        "",
        "```python\nfrom datasets import load_dataset\n\ndataset = load_dataset('path/of/this/directory')\n```",
        "",
        "## Columns",
        "",
        f"`label` is the gold label where it is known, else `weak_label`, else `predicted`. `label_source` says which: "
        f"{GOLD}, {plain(facts.weak_source)} or model. `label_confidence` is the probability of a label made by a "
        "machine. `weak_label` is the most probable class of `p(CLASS)`, the probabilities of the label model. "
        "`predicted` and `confidence` are the prediction of the run. A column `vote NAME` has the vote of a program. "
        "`row` is the number of the row in its source, from 0.",
        "",
        table(["split", "rows", "coverage of weak labels", "labels"], splits),
        "## Files",
        "",
        table(["file", "content"], []) + "".join(f"| `{name}` | {FILES[name]} |\n" for name in files),
        "## Provenance",
        "",
        table(["what", "value"], [(what, value) for what, value in provenance if value]),
    ]
    if facts.programs:
        header = ["program", "sha256 of its source", "coverage", "accuracy where gold is known"]
        sections += ["## Programs that vote", "", table(header, facts.programs)]
    if facts.scores:
        scaled = (
            "" if facts.temperature is None else f" The distilled model has the temperature {facts.temperature:.3f}."
        )
        sections += [
            "## Scores and calibration",
            "",
            "Accuracy over rows with a label and gold; the distilled model's is the mean over seeds. ECE is the "
            f"expected calibration error with ten bins.{scaled}",
            "",
            table(["labels", "split", "accuracy", "ECE"], [(s.what, s.split, s.accuracy, s.ece) for s in facts.scores]),
        ]
    sections += [
        "## Gold labels that were used",
        "",
        "".join(f"- {plain(use)}\n" for use in facts.gold_used) or "None.\n",
        "## Licence",
        "",
        f"Licence of the source: {plain(facts.license or 'not known')}. Its terms hold for the rows.",
        "",
    ]
    if facts.notes:
        sections += ["## Notes of the run", "", "".join(f"- {plain(note)}\n" for note in facts.notes)]
    return sections
