"""What the stages of a run share: data, usable gold labels, LLM client, prompts, sandbox, caches and progress.

The context is a layer below the stages that use it (programs, supplements, methods, pipeline), so that none of them
imports upward. Components that belong to one stage alone (vetting, repair, selection, ...) are passed to that stage.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from alchemist_exp.core.artifact_cache import ArtifactCache
from alchemist_exp.core.progress import StageProgress
from alchemist_exp.core.types import ABSTAIN, FloatArray, IntArray, LabelMatrix, Split
from alchemist_exp.data.reviewed import ReviewedRows
from alchemist_exp.data.text_data import TextData
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.label_models.base import LabelModel
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.dialogue import RequestBatch
from alchemist_exp.llm.types import LLM, LLMCall
from alchemist_exp.prompts.templates import PromptTemplates
from alchemist_exp.sandbox.base import Sandbox
from alchemist_exp.sandbox.clock import ProgramClock


@dataclass(frozen=True, kw_only=True, eq=False)
class UsableGold:
    """The gold labels that the configuration lets stages use, and a list of what they were used for.

    Labels are handed out for a purpose only, so that the record names every use. Test labels are never among them: they
    are used for scoring alone, which `note_scoring` states.

    Attributes:
        labels: int64 array of shape (n_rows,) for each split whose labels may be used.
        uses: What was used for what, in order and without repetition, for example "valid: class balance (250 rows)".
            The number is that of the rows whose labels were needed: all that were handed out.
        reviewed: Rows of train that a person labeled for this run (dataset.reviewed); gold=none does not exclude them.

    Example:
        >>> import numpy as np
        >>> gold = UsableGold(labels={Split.VALID: np.array([0, 1])})
        >>> gold.use(Split.VALID, "class balance").tolist()
        [0, 1]
        >>> gold.note_scoring(Split.TEST, 500)
        >>> gold.uses
        ['valid: class balance (2 rows)', 'test: scoring (500 rows)']

    """

    labels: Mapping[Split, IntArray]
    uses: list[str] = field(default_factory=list)
    reviewed: ReviewedRows | None = None

    def available(self, split: Split) -> bool:
        """Return whether the labels of a split may be used.

        Args:
            split: The split.

        Returns:
            False when the configuration forbids it or the split has no labels.

        """
        return split in self.labels

    def use(self, split: Split, purpose: str) -> IntArray | None:
        """Return the labels of a split and note the purpose.

        Args:
            split: The split.
            purpose: What the labels are used for, as the record names it.

        Returns:
            int64 array of shape (n_rows,), or None when the labels may not be used; then nothing is noted.

        """
        labels = self.labels.get(split)
        if labels is not None:
            self._note(split, purpose, len(labels))
        return labels

    def use_reviewed(self, purpose: str) -> ReviewedRows | None:
        """Return the reviewed rows of train and note the purpose.

        Args:
            purpose: What the labels are used for, as the record names it.

        Returns:
            The rows and their labels; None without reviewed rows.

        """
        if self.reviewed is not None:
            self._note("reviewed", purpose, len(self.reviewed.rows))
        return self.reviewed

    def labeled_votes(
        self, purpose: str, train: LabelMatrix, valid: LabelMatrix | None
    ) -> tuple[LabelMatrix | None, IntArray | None]:
        """Return the votes on rows with a usable gold label: those of valid, then the reviewed ones of train.

        Args:
            purpose: What the labels are used for, as the record names it.
            train: Votes on all rows of train.
            valid: Votes of the same programs on valid; None when no program votes there.

        Returns:
            The votes, and int64 array of shape (n_labeled,); without reviewed rows they are `valid` and its labels,
            each of which may be None.

        """
        gold, reviewed = self.use(Split.VALID, purpose), self.use_reviewed(purpose)
        if reviewed is None:
            return valid, gold
        labeled = train.select(reviewed.rows)
        if gold is None:
            return labeled, reviewed.gold
        # Labels of valid count for the class balance, also when no program votes there.
        no_votes = np.full((len(gold), train.votes.shape[1]), ABSTAIN, dtype=np.int8)
        votes = np.concatenate([no_votes if valid is None else valid.votes, labeled.votes])
        return LabelMatrix(votes=votes, n_classes=train.n_classes), np.concatenate([gold, reviewed.gold])

    def note_scoring(self, split: Split, n_rows: int, what: str = "") -> None:
        """Note that labels were compared with results for people to read; no result depends on such a use.

        Args:
            split: The split, which may be test. `labels` need not have it.
            n_rows: The number of its labels.
            what: What was compared with the labels; "" for the scores of the models.

        """
        self._note(split, f"scoring{f' of {what}' if what else ''}", n_rows)

    def _note(self, split: str, purpose: str, n_rows: int) -> None:
        if (use := f"{split}: {purpose} ({n_rows:,} rows)") not in self.uses:
            self.uses.append(use)


@dataclass(frozen=True, kw_only=True, eq=False)
class RunContext:
    """Everything that more than one stage of a run uses.

    Attributes:
        data: The dataset, all splits loaded, without gold labels.
        gold: The gold labels that stages may use.
        llm_client: Sends requests to the configured LLM, through cache, budget and rate limits.
        prompts: The prompt templates.
        sandbox: Runs programs.
        label_model: The unfitted label model.
        cache: Votes, features and other results under the hash of their inputs.
        progress: Times the stages and shows their progress.
        extractor: The feature extractor; that of an image dataset is an `ImageTextEncoder`.
        features: Returns float32 arrays of shape (n_rows, n_features) for every split; extracts them at the first call.
        clock: How long each program has run.

    """

    data: TextData
    gold: UsableGold
    llm_client: LLMClient
    prompts: PromptTemplates
    sandbox: Sandbox
    label_model: LabelModel
    cache: ArtifactCache
    progress: StageProgress
    extractor: FeatureExtractor
    features: Callable[[], Mapping[Split, FloatArray]]
    clock: ProgramClock = field(default_factory=ProgramClock)

    @property
    def llm(self) -> LLM:
        """The LLM of the configuration."""
        return self.llm_client.llm

    @property
    def n_classes(self) -> int:
        """The number of classes of the task."""
        return len(self.data.task.classes)

    def answer(self, batch: RequestBatch, on_call: Callable[[LLMCall], None] = lambda call: None) -> list[LLMCall]:
        """Send a batch of requests and show its progress and cost.

        Args:
            batch: Requests that do not depend on each other's responses.
            on_call: Called with each finished call, also before an error is raised.

        Returns:
            One call per request, in the order of the requests.

        Raises:
            LLMError: The LLM cannot be reached or refuses all attempts, or the budget is used up.

        """
        with self.progress.stage("prompts", batch.description, len(batch.requests)) as advance:

            def show(call: LLMCall) -> None:
                """Pass the call on, and show the calls and dollars so far."""
                on_call(call)
                advance(1)
                self.progress.note(self.llm_client.traffic.summary())

            return self.llm_client.complete(batch, show)
