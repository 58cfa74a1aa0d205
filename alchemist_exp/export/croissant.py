"""Writes croissant.json: metadata of the dataset in the Croissant format 1.0 with its responsible-AI vocabulary."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from alchemist_exp.core.terminal import sanitize
from alchemist_exp.export.facts import ExportFacts
from alchemist_exp.export.tables import DATA, GOLD, JSONL, LABEL, LABEL_CONFIDENCE, LABEL_SOURCE

CROISSANT: Final = "croissant.json"

_CONTEXT: Final[Mapping[str, Any]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataBiases": "cr:dataBiases",
    "dataCollection": "cr:dataCollection",
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "personalSensitiveInformation": "cr:personalSensitiveInformation",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context of Croissant 1.0, in which names of the format have their short forms."""

_TYPES: Final = {
    "boolean": "sc:Boolean",
    "class": "sc:Integer",
    "integer": "sc:Integer",
    "number": "sc:Float",
    "string": "sc:Text",
}


def croissant_bytes(facts: ExportFacts, directory: Path) -> bytes:
    """Return the metadata as JSON-LD.

    Args:
        facts: What is said of the run.
        directory: The export, which has its data files.

    Returns:
        JSON in ASCII, in which `<` is escaped too: the text can stand in a page of HTML.

    """
    metadata = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"],
        "name": _identifier(facts.name),
        "description": f"{sanitize(facts.name)}: rows with labels that are made by a machine ({facts.weak_source}).",
        "license": sanitize(facts.license) or "unknown",
        "datePublished": facts.date[:10] or "1970-01-01",
        "version": "1.0.0",
        "url": ".",
        **_responsible_ai(facts),
        "distribution": [_file_object(split.name, directory) for split in facts.splits],
        "recordSet": [_record_set(split.name, split.columns, facts.classes) for split in facts.splits],
    }
    return json.dumps(metadata, indent=2, allow_nan=False).replace("<", "\\u003c").encode()


def _responsible_ai(facts: ExportFacts) -> dict[str, Any]:
    """Return the fields of the responsible-AI vocabulary that a run answers."""
    label_model, method = facts.choices.get("label_model", ""), facts.choices.get("method", "")
    scores = "; ".join(
        f"{one.what} on {one.split}: accuracy {one.accuracy:.3f}" for one in facts.scores if one.accuracy is not None
    )
    sources = ", ".join(f"{name}: {count}" for name, count in facts.sources.items())
    author = "LLM that wrote them" if facts.llm else "people and LLMs that wrote them"
    made: dict[str, str | list[str]] = {
        "rai:dataCollection": f"The rows are those of the dataset {facts.name}; this export adds labels.",
        "rai:dataAnnotationProtocol": (
            f"{len(facts.programs)} programs vote on each row (method {method}, LLM {facts.asked_llm}); the label "
            f"model {label_model} combines the votes; a distilled model labels the other rows. Rows by label_source: "
            f"{sources or 'none'}."
        ),
        "rai:dataAnnotationPlatform": f"Alchemist {facts.version}",
        "rai:dataAnnotationAnalysis": scores or "There are no gold labels to compare the labels with.",
        "rai:annotationsPerItem": str(max(len(facts.programs), 1)),
        "rai:machineAnnotationTools": [f"{file} ({key})" for file, key, *_ in facts.programs] or [method],
        "rai:dataLimitations": "Labels that are made by a machine have errors; their errors are not independent.",
        "rai:dataBiases": f"Programs have the biases of the {author}, and of the words that they look for.",
        "rai:dataUseCases": "Training and evaluating models for the same task, with the errors of the labels in mind.",
    }
    return {key: sanitize(value) if isinstance(value, str) else [*map(sanitize, value)] for key, value in made.items()}


def _file_object(split: str, directory: Path) -> dict[str, Any]:
    path = f"{DATA}/{split}.parquet"
    with (directory / path).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "@type": "cr:FileObject",
        "@id": path,
        "name": f"{split}.parquet",
        "description": f"The rows of {split}; {JSONL}/{split}.jsonl has the same rows.",
        "contentUrl": path,
        "contentSize": f"{(directory / path).stat().st_size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": digest,
    }


def _record_set(split: str, columns: Mapping[str, str], classes: Sequence[str]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "field": [
            {
                "@type": "cr:Field",
                # With a number: columns with different names may have the same identifier.
                "@id": f"{split}/{number}-{_identifier(name)}",
                "name": f"{split}/{number}-{_identifier(name)}",
                "description": _description(name, kind, classes),
                "dataType": _TYPES[kind],
                "source": {"fileObject": {"@id": f"{DATA}/{split}.parquet"}, "extract": {"column": name}},
            }
            for number, (name, kind) in enumerate(columns.items())
        ],
    }


def _description(name: str, kind: str, classes: Sequence[str]) -> str:
    """Return what a column is, and the names of its classes."""
    known = {
        LABEL: "the gold label where it is known, else a label made by a machine",
        LABEL_SOURCE: f"what the label is from: {GOLD}, programs, model or the name of a method",
        LABEL_CONFIDENCE: "the probability of a label made by a machine",
    }
    text = f"{name}: {known[name]}" if name in known else name
    names = ", ".join(f"{number}: {one}" for number, one in enumerate(classes))
    return sanitize(f"{text} ({names})" if kind == "class" else text)


def _identifier(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)[:100] or "dataset"
