"""Labels by the human-crafted labeling functions that came with a dataset (paper, Table 9)."""

from dataclasses import dataclass

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import LabelMatrix, Split
from alchemist_exp.methods.base import LabelingResult, LabelSources, Method, Parts, Workbench, aggregate


@component("method", "human")
@dataclass(kw_only=True)
class HumanVotesMethod(Method):
    """The dataset's own votes; nothing is asked and nothing is executed."""

    def used(self, parts: Parts) -> tuple[Component, ...]:
        """Only what weighs the votes."""
        return (parts.label_model,)

    def label(self, bench: Workbench) -> LabelingResult:
        """Labels every split that has human votes. DataError when train has none."""
        matrices = {
            split: LabelMatrix(votes=votes, n_classes=len(bench.data.task.classes))
            for split in bench.data.splits
            if (votes := bench.data.human_votes(split)) is not None
        }
        if Split.TRAIN not in matrices:
            raise DataError(
                f"method=human needs human votes on train, and {bench.data.task.name} has none; "
                "use dataset=youtube or dataset=sms, or name their column by dataset.human_votes_column."
            )
        ids = tuple(f"human-{i + 1:02d}" for i in range(matrices[Split.TRAIN].votes.shape[1]))
        voters = LabelSources(source=self.name, requested=len(ids), ids=ids, origins=ids, matrices=matrices)
        return aggregate(voters, bench)
