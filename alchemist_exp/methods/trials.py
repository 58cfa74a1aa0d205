"""What a run's scripts have tried on the data: vetting, first votes, features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.core.types import FloatArray, LabelMatrix, Split
from alchemist_exp.label_models.base import LabeledVotes, class_balance_from_gold, class_balance_from_votes
from alchemist_exp.methods.base import Workbench
from alchemist_exp.programs.execution import failure_of_run, votes_of
from alchemist_exp.programs.types import Candidate, Program, VettingResult
from alchemist_exp.programs.vetting import Vetter
from alchemist_exp.sandbox.base import ProgramRun


@dataclass(frozen=True, kw_only=True, eq=False)
class Tried:
    """Trials on the bench."""

    bench: Workbench
    vetter: Vetter

    def vet(self, candidates: Sequence[Candidate]) -> VettingResult:
        """By the funnel."""
        return self.vetter.vet(candidates)

    def uncertainty(self, programs: Sequence[Program], split: Split) -> FloatArray:
        """Entropy by the run's label model; rows without a vote are the least sure. ProgramsError without programs."""
        data, parts = self.bench.data, self.bench.parts
        n_classes = len(data.task.classes)
        runs: dict[Split, list[ProgramRun]] = {}
        gold = self.bench.valid_gold
        for of in dict.fromkeys((Split.TRAIN, split, *(() if gold is None else (Split.VALID,)))):
            texts = data.texts(of)
            with self.bench.stages.stage("votes", "running first programs", len(texts) * len(programs)) as advance:
                key = data.texts_key(of)
                runs[of] = votes_of(programs, texts, key, n_classes, parts.sandbox, self.bench.store, advance)
        kept = [c for c in range(len(programs)) if not any(failure_of_run(made[c], of) for of, made in runs.items())]
        if len(kept) < parts.label_model.min_programs:
            raise ProgramsError(
                f"{len(kept)} different first programs ran and label_model={parts.label_model.name} needs "
                f"{parts.label_model.min_programs}; raise supplement.first_programs, or "
                "use supplement.sampling=random."
            )
        matrices = {
            of: LabelMatrix(votes=np.stack([made[c].votes for c in kept], axis=1), n_classes=n_classes)
            for of, made in runs.items()
        }
        labeled = None
        if gold is not None and parts.label_model.uses_gold:
            labeled = LabeledVotes(matrix=matrices[Split.VALID], gold=gold)
        balance = (
            class_balance_from_votes(matrices[Split.TRAIN])
            if gold is None
            else class_balance_from_gold(gold, n_classes)
        )
        with self.bench.stages.stage("label_model", f"fitting a first label model {parts.label_model.name}"):
            probs = parts.label_model.fit(matrices[Split.TRAIN], balance, labeled).predict_proba(matrices[split])
        shares = np.where(probs.covered[:, np.newaxis], probs.probs, 1 / n_classes)
        entropy: FloatArray = -(shares * np.log(np.clip(shares, 1e-12, None))).sum(axis=1).astype(np.float32)
        return entropy

    def features(self, split: Split) -> FloatArray:
        """Those of the end model."""
        return self.bench.features()[split]
