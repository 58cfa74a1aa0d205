"""What a run's scripts have tried on the data: vetting, first votes, features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alchemist_exp.core.errors import ProgramsError
from alchemist_exp.core.values import FloatArray, LabelMatrix, Split
from alchemist_exp.label_models.base import balance_of, estimated_balance
from alchemist_exp.labelers.base import Workbench
from alchemist_exp.programs.base import Candidate, Program, Vetted
from alchemist_exp.programs.execute import fault_of_run, votes_of
from alchemist_exp.programs.vetting import Vetter
from alchemist_exp.sandbox.base import ProgramRun


@dataclass(frozen=True, kw_only=True, eq=False)
class Tried:
    """Trials on the bench."""

    bench: Workbench
    vetter: Vetter

    def vet(self, candidates: Sequence[Candidate]) -> Vetted:
        """By the funnel."""
        return self.vetter.vet(candidates)

    def uncertainty(self, programs: Sequence[Program], split: Split) -> FloatArray:
        """Entropy by the run's label model; rows without a vote are the least sure. ProgramsError without programs."""
        data, parts = self.bench.data, self.bench.parts
        n_classes = len(data.task.classes)
        runs: dict[Split, list[ProgramRun]] = {}
        for of in dict.fromkeys((Split.TRAIN, split)):
            texts = data.texts(of)
            with self.bench.stages.stage("votes", "running first programs", len(texts) * len(programs)) as advance:
                key = data.texts_key(of)
                runs[of] = votes_of(programs, texts, key, n_classes, parts.sandbox, self.bench.store, advance)
        kept = [c for c in range(len(programs)) if not any(fault_of_run(made[c], of) for of, made in runs.items())]
        if not kept:
            raise ProgramsError("none of the first programs ran; use supplement.draw=random.")
        matrices = {
            of: LabelMatrix(votes=np.stack([made[c].votes for c in kept], axis=1), n_classes=n_classes)
            for of, made in runs.items()
        }
        gold = self.bench.valid_gold
        balance = estimated_balance(matrices[Split.TRAIN]) if gold is None else balance_of(gold, n_classes)
        with self.bench.stages.stage("label_model", f"fitting a first label model {parts.label_model.name}"):
            probs = parts.label_model.fit(matrices[Split.TRAIN], balance).predict_proba(matrices[split])
        shares = np.where(probs.covered[:, np.newaxis], probs.probs, 1 / n_classes)
        entropy: FloatArray = -(shares * np.log(np.clip(shares, 1e-12, None))).sum(axis=1).astype(np.float32)
        return entropy

    def features(self, split: Split) -> FloatArray:
        """Those of the end model."""
        return self.bench.features()[split]
