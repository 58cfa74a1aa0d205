"""What a run stores so that `alchemist_exp.labeling` can label other rows without composing the configuration again."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Final

from alchemist_exp.concepts.scales import fit_scale
from alchemist_exp.core.atomic_io import write_directory, write_json
from alchemist_exp.core.component import Component, naming_plugin, registered_as
from alchemist_exp.core.hashing import key_of, to_jsonable
from alchemist_exp.core.source import source_fingerprint
from alchemist_exp.core.types import Split
from alchemist_exp.data.kinds import save_kind
from alchemist_exp.data.row_kind import RowKind
from alchemist_exp.label_models.base import LabelModel
from alchemist_exp.methods.types import LabelingResult
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.programs.files import file_names

LABEL_MODEL: Final = "label_model"
"""The directory of a run with the fitted label model and what it is applied to."""

COMPONENTS: Final = "components.json"
"""The file of a run with the class and the values of each component in `GROUPS`."""

PROGRAMS_FILE: Final = "programs.json"
CONCEPTS_FILE: Final = "concepts.json"
SCALE_FILE: Final = "scale.npy"

VERSION: Final = 1
"""The version of these files."""

GROUPS: Final = ("feature_extractor", "end_model", "label_model", "sandbox")
"""The groups whose components label other rows."""


def save_components(path: Path, experiment: Experiment, label_model: LabelModel | None) -> None:
    """Write the class and the values of each component that labels other rows.

    Args:
        path: The file.
        experiment: The experiment.
        label_model: The label model that made the labels, which label_model=auto has chosen; None without one.

    """
    used = {group: getattr(experiment, group) for group in GROUPS} | ({LABEL_MODEL: label_model} if label_model else {})
    stored = {group: describe_component(component) for group, component in used.items()}
    write_json(path, {"version": VERSION, "components": stored})


def describe_component(component: Component) -> dict[str, Any]:
    """Return what is needed to make a component again, as JSON.

    Args:
        component: The component.

    Returns:
        The name under which its class is registered, or None; the fingerprint of the source of a plugin, or None; and
        the values that differ from the defaults of the class, which may name files of the installed package. A
        component in a mapping, such as a part of a combined extractor, is described in the same way.

    """
    registered = registered_as(type(component))
    values = {}
    for f in fields(component):
        value = getattr(component, f.name)
        if f.default is not MISSING and value == f.default:
            continue
        if isinstance(value, Mapping) and any(isinstance(part, Component) for part in value.values()):
            values[f.name] = {name: describe_component(part) for name, part in value.items()}
        else:
            values[f.name] = to_jsonable(value)
    return {
        "class": registered and registered[1],
        "source_fingerprint": source_fingerprint(type(component)),
        "values": values,
    }


def save_label_model(directory: Path, result: LabelingResult, classes: Sequence[str], kind: RowKind) -> list[str]:
    """Write the fitted label model, the programs in the order of its columns, and the scale of concept scores.

    Args:
        directory: The directory; it must not exist. Nothing is written without a label model.
        result: The labels, which have the fitted model.
        classes: The class names.
        kind: The kind of the rows, which a run without an end model stores nowhere else.

    Returns:
        A note for the record if the model cannot be saved.

    """
    model, sources = result.label_model, result.sources
    if model is None:
        return []
    if unsaved := model.unsaved_attributes():
        return [
            f"label_model={model.name} is not saved, so `alchemist apply --with programs` cannot use this run: its "
            f"parameter_shapes does not have {', '.join(unsaved)}."
        ]
    files = file_names(program.origin for program in sources.programs)
    programs = [
        {"file": file, "id": program.id, "key": key_of("program", program.source), "origin": program.origin}
        for file, program in zip(files, sources.programs, strict=True)
    ]

    def fill(draft: Path) -> None:
        """Write the model, the kind of the rows, the programs and the concepts into `draft`."""
        with naming_plugin(model, "save"):
            model.save(draft)
        save_kind(draft, kind)
        stored = {"classes": list(classes), "method": sources.method, "programs": programs, "version": VERSION}
        write_json(draft / PROGRAMS_FILE, stored | {"n_columns": len(sources.ids)})
        if (concepts := result.concepts) is not None:
            # All concepts were encoded together; the scale was fitted on those that were kept.
            named = [
                {"name": one.name, "descriptions": list(one.descriptions), "kept": one in concepts.kept.concepts}
                for one in concepts.named.concepts.concepts
            ]
            write_json(draft / CONCEPTS_FILE, {"scale": concepts.scale.value, "concepts": named})
            fit_scale(concepts.scale, concepts.scores[Split.TRAIN], len(classes)).save(draft / SCALE_FILE)

    write_directory(directory, fill)
    return []
