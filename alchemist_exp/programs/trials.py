"""What a dialogue may try out on the data between two LLM calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from alchemist_exp.context import RunContext
from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.core.types import FloatArray, LabelMatrix, Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.label_models.fit import fit_label_model, predict_labels
from alchemist_exp.programs.execution import failure_of_run, run_on_split
from alchemist_exp.programs.types import Candidate, Program, Rejected, RejectionStage, VettingResult, reject
from alchemist_exp.programs.vetting import Vetter


class ProgramTrials(Protocol):
    """Trials of programs: a run executes them, a plan assumes their outcome."""

    def vet(self, candidates: Sequence[Candidate]) -> VettingResult:
        """Sort candidates into accepted and rejected; each candidate is judged once.

        Args:
            candidates: Programs, and candidates that were rejected before they were programs.

        Returns:
            Both kinds in the order of `candidates`.
        """

    def uncertainty(self, programs: Sequence[Program], split: Split) -> FloatArray:
        """Return how uncertain each row's label is.

        Args:
            programs: The programs whose votes label the rows.
            split: The split whose rows are rated.

        Returns:
            float32 array of shape (n_rows,), the entropy in nats.
        """

    def features(self, split: Split) -> FloatArray:
        """Return what the end model sees of each row.

        Args:
            split: The split.

        Returns:
            float32 array of shape (n_rows, n_features).
        """


@dataclass(frozen=True, kw_only=True)
class AssumedTrials:
    """Trials of a plan: nothing runs, and all programs have the same outcome.

    Attributes:
        data: The dataset.
        accepting: Whether all programs are accepted; when all are rejected, a plan counts the most LLM calls.
        usable_concepts: Whether a guessed response with concepts is usable at once, or only the second one.

    """

    data: TextData
    accepting: bool
    usable_concepts: bool = True

    def vet(self, candidates: Sequence[Candidate]) -> VettingResult:
        """Accept or reject all programs; earlier rejections stay."""
        programs = tuple(candidate for candidate in candidates if isinstance(candidate, Program))
        rejected = tuple(candidate for candidate in candidates if isinstance(candidate, Rejected))
        if self.accepting:
            return VettingResult(accepted=programs, rejected=rejected)
        assumed = tuple(reject(program, RejectionStage.ERRORS, "assumed") for program in programs)
        return VettingResult(accepted=(), rejected=rejected + assumed)

    def uncertainty(self, programs: Sequence[Program], split: Split) -> FloatArray:
        """Return zero for every row."""
        return np.zeros(len(self.data.texts(split)), dtype=np.float32)

    def features(self, split: Split) -> FloatArray:
        """Return one feature, zero for every row."""
        return np.zeros((len(self.data.texts(split)), 1), dtype=np.float32)


@dataclass(frozen=True, kw_only=True, eq=False)
class RunTrials:
    """Trials of a run: programs are vetted and executed in the sandbox.

    Attributes:
        context: What the stages of the run share.
        vetter: Judges candidates, and remembers those it has judged.

    """

    context: RunContext
    vetter: Vetter

    def vet(self, candidates: Sequence[Candidate]) -> VettingResult:
        """Vet candidates; each is compared with all that were accepted before."""
        return self.vetter.vet(candidates)

    def uncertainty(self, programs: Sequence[Program], split: Split) -> FloatArray:
        """Fit the run's label model on the votes of `programs` and return each row's entropy.

        Args:
            programs: Programs of the general prompt.
            split: The split whose rows are rated.

        Returns:
            float32 array of shape (n_rows,), in nats; a row without a vote has the entropy of a uniform label.

        Raises:
            ProgramsError: Fewer programs ran to their end than the label model needs.

        """
        context, model = self.context, self.context.label_model
        splits = dict.fromkeys((Split.TRAIN, split))
        if context.gold.available(Split.VALID):
            splits[Split.VALID] = None
        runs = {of: run_on_split(context, programs, of, "running first programs") for of in splits}
        finished = [
            i for i in range(len(programs)) if not any(failure_of_run(made[i], of) for of, made in runs.items())
        ]
        if len(finished) < model.min_programs:
            raise ProgramsError(
                f"{len(finished)} different first programs ran and label_model={model.name} needs "
                f"{model.min_programs}; raise supplement.first_programs, or use supplement.sampling=random."
            )
        matrices = {
            of: LabelMatrix(votes=np.stack([made[i].votes for i in finished], axis=1), n_classes=context.n_classes)
            for of, made in runs.items()
        }
        train = matrices[Split.TRAIN]
        labeled, gold = context.gold.labeled_votes("class balance", train, matrices.get(Split.VALID))
        if model.uses_gold:
            context.gold.labeled_votes("label model", train, matrices.get(Split.VALID))
        with context.progress.stage("label_model", f"fitting a first label model {model.name}"):
            sample = context.data.fit_sample
            fitted, _, _ = fit_label_model(model, train if sample is None else train.select(sample), labeled, gold)
            labels = predict_labels(fitted, matrices[split])
        # Uncovered rows are the least certain ones; clipping avoids the logarithm of 0.
        probs = np.where(labels.covered[:, np.newaxis], labels.probs, 1 / context.n_classes)
        entropy: FloatArray = -(probs * np.log(np.clip(probs, 1e-12, None))).sum(axis=1).astype(np.float32)
        return entropy

    def features(self, split: Split) -> FloatArray:
        """Return the end model's features of a split."""
        return self.context.features()[split]
