"""The votes of the human-crafted labeling functions that came with a dataset (paper, Table 9)."""

from dataclasses import dataclass

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import component
from alchemist_exp.core.errors import DataError
from alchemist_exp.core.types import LabelMatrix, Split
from alchemist_exp.methods.base import VoteMethod
from alchemist_exp.methods.types import LabelSources


@component("method", "human")
@dataclass(kw_only=True)
class HumanVotesMethod(VoteMethod):
    """The dataset's own votes; no LLM call is made and no program runs."""

    def votes(self, context: RunContext) -> LabelSources:
        """Return the votes of every split that has any."""
        data = context.data
        matrices = {
            split: LabelMatrix(votes=votes, n_classes=context.n_classes)
            for split in data.splits
            if (votes := data.human_votes(split)) is not None
        }
        if Split.TRAIN not in matrices:
            raise DataError(
                f"method=human needs human votes on train, and {data.task.name} has none; "
                "use dataset=youtube or dataset=sms, or name their column with dataset.human_votes_column."
            )
        ids = tuple(f"human-{i + 1:02d}" for i in range(matrices[Split.TRAIN].votes.shape[1]))
        return LabelSources(method=self.name, n_requested=len(ids), ids=ids, origins=ids, matrices=matrices)
