"""Soft labels of datasets with several classes per row (dataset.multi_label=true)."""

from alchemist_exp.context import RunContext
from alchemist_exp.core.component import naming_plugin
from alchemist_exp.core.label_sets import SetMatrix
from alchemist_exp.core.types import Split
from alchemist_exp.label_models.base import predict_labels
from alchemist_exp.label_models.per_class import PerClassModel, set_balance
from alchemist_exp.llm.types import LLMCall
from alchemist_exp.methods.types import LabelingResult, LabelSources


def aggregate_sets(context: RunContext, sources: LabelSources, calls: tuple[LLMCall, ...] = ()) -> LabelingResult:
    """Combine votes for several classes into soft labels: a label model is fitted for each class.

    Args:
        context: What the stages of the run share.
        sources: The votes.
        calls: The LLM calls that the votes are from.

    Returns:
        The soft labels of every split that has votes.

    Raises:
        ProgramsError: There are fewer programs than the label model needs.

    """
    train, gold = sources.matrices[Split.TRAIN], context.gold.use(Split.VALID, "class balance")
    if not isinstance(train, SetMatrix):
        raise TypeError(f"expected votes for several classes, not {type(train).__name__}")
    model = PerClassModel.of(context.label_model, train.n_classes)
    with context.progress.stage("label_model", f"fitting the label model {model.name} for {train.n_classes} classes"):
        sample = context.data.fit_sample
        fit_on = train if sample is None else train.select(sample)
        balance = set_balance(fit_on, gold)
        with naming_plugin(context.label_model, "fit"):
            fitted = model.fit(fit_on, balance)
        labels = {split: predict_labels(fitted, matrix) for split, matrix in sources.matrices.items()}
    return LabelingResult(
        labels=labels,
        labeled_by=model.name,
        sources=sources,
        calls=calls,
        class_balance=tuple(float(share) for share in balance),
        label_model=fitted,
    )
