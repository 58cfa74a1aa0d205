"""The prompt group: every text that is sent to an LLM, as templates in YAML.

The rendered texts are part of the key of each response, so a template that changes by one character asks the LLM again.
"""

import json
from collections.abc import Sequence
from dataclasses import MISSING as NO_DEFAULT
from dataclasses import dataclass, field, fields
from typing import Final

from omegaconf import MISSING

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.task import Task
from alchemist_exp.prompts.filling import fill, share_text, shorten, task_words
from alchemist_exp.prompts.images import IMAGE_TEMPLATES, SCORE_SCALES
from alchemist_exp.prompts.multi_label import MULTI_LABEL_REQUIRED, MULTI_LABEL_TEMPLATES
from alchemist_exp.prompts.refine import REFINE_REQUIRED, REFINE_TEMPLATES
from alchemist_exp.prompts.template_checks import REQUIRED, check_templates

_ROW_DESCRIPTION: Final = "[row_description]"
_IMAGE_DESCRIPTION: Final = "[image_description]"
_LATER_TEMPLATES: Final = (
    *("record_description", "record_column", "record_examples"),
    *IMAGE_TEMPLATES,
    *("score_scales", "refine", "multi_label"),
)
"""Templates that were added when prompts were recorded already; with their defaults they are not part of keys."""
_PARAMETER, _TEXT_PARAMETER = "[parameter]: [annotation]", "[subject]: str"
"""How `signature` names the parameter for rows of any kind, and for texts."""


@component("prompt", "templates")
@dataclass(kw_only=True)
class PromptTemplates(Component):
    """Templates of all prompts; conf/prompt/paper.yaml explains each of them.

    A placeholder is a word in square brackets. Replacement is done in one pass: brackets inside a row's text, a program
    or a class name stay as they are.

    Example:
        >>> fill("If the [subject] is [class], return [index].", {"subject": "text", "class": "spam", "index": "1"})
        'If the text is spam, return 1.'

    """

    program_system: str = MISSING
    program: list[str] = MISSING
    class_instruction: str = MISSING
    abstain_instruction: str = MISSING
    signature: str = MISSING
    # These have defaults, so that prompts of earlier versions stay complete.
    record_description: str = (
        "Each [subject] is a dict called row with these keys, where None is a missing value:\n[columns]"
    )
    record_column: str = "- [name]: [type], [missing] missing[examples]"
    record_examples: str = ", for example [values]"
    image_description: str = IMAGE_TEMPLATES["image_description"]
    concepts: str = IMAGE_TEMPLATES["concepts"]
    concepts_repair: str = IMAGE_TEMPLATES["concepts_repair"]
    spurious: str = IMAGE_TEMPLATES["spurious"]
    score_task: str = IMAGE_TEMPLATES["score_task"]
    score_scales: dict[str, str] = field(default_factory=lambda: dict(SCORE_SCALES))
    refine: dict[str, str] = field(default_factory=lambda: dict(REFINE_TEMPLATES))
    multi_label: dict[str, str] = field(default_factory=lambda: dict(MULTI_LABEL_TEMPLATES))
    performance_hint: str = MISSING
    variation: str = MISSING
    repair: str = MISSING
    supplement_system: str = MISSING
    supplement: str = MISSING
    summary: str = MISSING
    exemplars: str = MISSING
    exemplar_row: str = MISSING
    passages: str = MISSING
    passage: str = MISSING
    zero_shot_system: str = MISSING

    def __post_init__(self) -> None:
        """Refuse templates without the placeholders that they are for."""
        for key, names in REQUIRED.items():
            for name in names:
                if f"[{name}]" not in getattr(self, key):
                    raise ConfigError(f"prompt.{key} has no [{name}]; write [{name}] where it belongs.")
        check_templates("refine", self.refine, REFINE_TEMPLATES, REFINE_REQUIRED)
        check_templates("multi_label", self.multi_label, MULTI_LABEL_TEMPLATES, MULTI_LABEL_REQUIRED)
        for name in ("task", "instructions", "signature"):
            if not any(f"[{name}]" in paragraph for paragraph in self.program):
                raise ConfigError(f"prompt.program has no [{name}]; add '[{name}]' to its list of paragraphs.")

    def cache_key(self) -> dict[str, object]:
        """Return every template, the same for a prompt about texts as before prompts could describe records."""
        key = super().cache_key()
        defaults = {f.name: f.default if f.default_factory is NO_DEFAULT else f.default_factory() for f in fields(self)}
        for name in _LATER_TEMPLATES:
            if key[name] == defaults[name]:
                del key[name]
        key["program"] = [text for text in self.program if text not in (_ROW_DESCRIPTION, _IMAGE_DESCRIPTION)]
        key["signature"] = self.signature.replace(_PARAMETER, _TEXT_PARAMETER)
        return key

    def check_task(self, task: Task) -> None:
        """Check that a request for a program describes the rows of a task.

        Args:
            task: The labeling task.

        Raises:
            ConfigError: The rows are not texts, and the templates are for texts only.

        """
        signature = self.signature_of(task)
        if task.parameter is not None and "[parameter]" not in signature:
            raise ConfigError(
                f"prompt.signature={signature!r} is for texts, and these programs get {task.parameter}, a "
                f"{task.annotation}; use 'def label_function({_PARAMETER}) -> int:'."
            )
        if task.columns and not any(_ROW_DESCRIPTION in paragraph for paragraph in self.program):
            raise ConfigError(
                f"prompt={self.name} has no {_ROW_DESCRIPTION} in prompt.program, so a program would not know the "
                f"columns of dataset.columns; add '{_ROW_DESCRIPTION}' to the list."
            )
        if task.describes_image and not any(_IMAGE_DESCRIPTION in paragraph for paragraph in self.program):
            raise ConfigError(
                f"prompt={self.name} has no {_IMAGE_DESCRIPTION} in prompt.program, so a program would not know what "
                f"an image is; add '{_IMAGE_DESCRIPTION}' to the list."
            )

    def labeling_instructions(self, task: Task) -> str:
        """Return one line per class and one for abstaining, which say what the function returns.

        If several classes may hold, a line before the last one says so.

        Args:
            task: The labeling task.

        Returns:
            The lines, joined by line breaks.

        """
        words, several = task_words(task), self.multi_label
        of_class, last = self.class_instruction, [self.abstain_instruction]
        if task.multi_label:
            of_class, last = several["class_instruction"], [several["set_instruction"], several["abstain_instruction"]]
        lines = [
            fill(of_class, words | {"class": name, "index": str(index)}) for index, name in enumerate(task.classes)
        ]
        return "\n".join([*lines, *(fill(template, words) for template in last)])

    def signature_of(self, task: Task) -> str:
        """Return the template of the function's head.

        Args:
            task: The labeling task.

        """
        return self.multi_label["signature"] if task.multi_label else self.signature

    def program_request(self, task: Task, supplement: str = "", *, performance_hint: bool = False) -> str:
        """Return the prompt that asks for one labeling program (paper, Section 3.1).

        Args:
            task: The labeling task.
            supplement: The text of the supplement; empty for the general prompt.
            performance_hint: Whether the prompt says how to write a program that runs fast.

        Returns:
            The paragraphs of `program` that are not empty, joined by blank lines.

        """
        signature = self.signature_of(task)
        words = task_words(task) | {
            "supplement": supplement.strip(),
            "row_description": self._row_description(task),
            "image_description": self.image_description if task.describes_image else "",
            "instructions": self.labeling_instructions(task),
            "performance_hint": self.performance_hint if performance_hint else "",
            "signature": fill(
                signature if task.annotation else signature.replace(": [annotation]", ""),
                task_words(task) | {"parameter": task.parameter or task.subject, "annotation": task.annotation},
            ),
        }
        return "\n\n".join(text for paragraph in self.program if (text := fill(paragraph, words)))

    def _row_description(self, task: Task) -> str:
        """Return what a record is, with a line for each column; "" for other rows."""
        lines = []
        for column in task.columns:
            quoted = [
                json.dumps(text, ensure_ascii=False) if column.type == "str" else text for text in column.examples
            ]
            values = {
                "name": json.dumps(column.name, ensure_ascii=False),
                "type": column.type,
                "missing": share_text(column.missing),
                "examples": fill(self.record_examples, {"values": " and ".join(quoted)}) if quoted else "",
            }
            lines.append(fill(self.record_column, values))
        return fill(self.record_description, task_words(task) | {"columns": "\n".join(lines)}) if lines else ""

    def variation_request(self, request: str, sources: Sequence[str]) -> str:
        """Return `request`, which asks for another approach than the programs in `sources`.

        Args:
            request: A prompt made by `program_request`.
            sources: The source of each program that was written before.

        Returns:
            `request` unchanged when there are no programs yet.

        """
        programs = "\n\n".join(f"```python\n{source.strip()}\n```" for source in sources)
        return fill(self.variation, {"request": request, "programs": programs}) if sources else request

    def repair_request(self, request: str, source: str, reason: str) -> str:
        """Return the prompt that sends a rejected program back to the LLM.

        Args:
            request: The prompt that the program was written for.
            source: The program.
            reason: Why the program was rejected, without text of a row.

        Returns:
            The prompt.

        """
        return fill(self.repair, {"request": request, "program": source.strip(), "reason": reason})

    def supplement_request(self, task: Task, instruction: str, passages: str | None = None) -> str:
        """Return the prompt that asks for a supplement, or for a summary of passages.

        Args:
            task: The labeling task.
            instruction: What the supplement's configuration asks for.
            passages: Passages of documents to sum up; None for a supplement without documents.

        Returns:
            The prompt.

        """
        words = task_words(task) | {"instruction": instruction}
        return fill(self.supplement, words) if passages is None else fill(self.summary, words | {"passages": passages})

    def exemplar_supplement(self, task: Task, rows: Sequence[tuple[str, int]]) -> str:
        """Return the supplement that shows labeled rows.

        Args:
            task: The labeling task.
            rows: The text and the class index of each row.

        Returns:
            The supplement's text, at most `MAX_EXEMPLAR_CHARACTERS` characters of each row.

        """
        words = task_words(task)
        lines = [
            fill(self.exemplar_row, words | {"text": shorten(text), "class": task.classes[label]})
            for text, label in rows
        ]
        return fill(self.exemplars, words | {"rows": "\n".join(lines)})

    def passage_supplement(self, task: Task, passages: Sequence[tuple[str, str]]) -> str:
        """Return the supplement that quotes passages of documents.

        Args:
            task: The labeling task.
            passages: The text and the source of each passage.

        Returns:
            The supplement's text.

        """
        words = task_words(task)
        parts = [fill(self.passage, words | {"text": text, "source": source}) for text, source in passages]
        return fill(self.passages, words | {"passages": "\n\n".join(parts)})

    def concept_request(self, task: Task) -> str:
        """Return the prompt that asks for the concepts which tell the classes apart (paper, Section 3.3).

        Args:
            task: The labeling task.

        Returns:
            The prompt.

        """
        return fill(self.concepts, task_words(task))

    def spurious_request(self, task: Task) -> str:
        """Return the prompt that asks for the spurious differences between images of the classes (method=roboshot).

        Args:
            task: The labeling task.

        Returns:
            The prompt. Its response has the form of the response to `concept_request`.

        """
        return fill(self.spurious, task_words(task))

    def concept_repair_request(self, task: Task, request: str, response: str, reason: str) -> str:
        """Return the prompt that sends unusable concepts back to the LLM.

        Args:
            task: The labeling task.
            request: The prompt that was answered, by `concept_request` or `spurious_request`.
            response: The LLM's response.
            reason: Why it cannot be used.

        Returns:
            The prompt.

        """
        words = task_words(task) | {"request": request, "response": response.strip(), "reason": reason}
        return fill(self.concepts_repair, words)

    def score_description(self, task: Task, descriptions: Sequence[str], scale: str) -> str:
        """Return the description of a task whose programs read the scores of descriptions.

        Args:
            task: The labeling task.
            descriptions: The descriptions, in the order of the scores.
            scale: A key of `score_scales`.

        Returns:
            The text that takes the place of the task's own description.

        """
        listed = "; ".join(f"[{json.dumps(text, ensure_ascii=False)}]" for text in descriptions)
        words = task_words(task) | {"descriptions": listed, "scale": self.score_scales[scale]}
        return fill(self.score_task, words)

    def zero_shot_instructions(self, task: Task) -> str:
        """Return the system message of zero-shot prompting (paper, Table 6).

        Args:
            task: The labeling task.

        Returns:
            The message, which names all classes.

        """
        return fill(self.zero_shot_system, task_words(task))
