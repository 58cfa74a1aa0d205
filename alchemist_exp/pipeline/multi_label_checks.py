"""What an experiment on a dataset with several classes per row (dataset.multi_label=true) cannot use."""

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.end_model.mlp import Mlp
from alchemist_exp.pipeline.experiment import Experiment


def check_multi_label(experiment: Experiment) -> None:
    """Refuse what cannot label several classes per row, before anything is spent.

    Args:
        experiment: The experiment; one whose dataset has a single class per row passes.

    Raises:
        ConfigError: A component or a value does not support it; the message names the alternative.

    """
    dataset, method, end_model = experiment.dataset, experiment.method, experiment.end_model
    if not dataset.is_multi_label:
        return
    label_model, selection, refine = experiment.label_model, experiment.selection, experiment.refine
    predict, supplement = experiment.predict, experiment.supplement
    reviewed = getattr(dataset, "reviewed", None)
    human_votes = getattr(dataset, "human_votes_column", None)
    refused = (
        (dataset.images, f"the images of dataset={dataset.name}", "use a dataset of texts or records"),
        (
            not method.supports_multi_label,
            f"method={method.name}",
            "use method=alchemist or method=program_files",
        ),
        (
            label_model.uses_gold,
            f"label_model={label_model.name}, which learns from gold labels",
            "use label_model=snorkel",
        ),
        (not end_model.supports_multi_label, f"end_model={end_model.name}", "use end_model=mlp or end_model=none"),
        (
            isinstance(end_model, Mlp) and end_model.calibrate,
            "end_model.calibrate=true",
            "use end_model.calibrate=false",
        ),
        (predict.combines, f"predict={predict.name}", "use predict=distilled"),
        (refine.has_rounds, f"refine={refine.name}", "use refine=none and more programs"),
        (
            selection.uses_gold,
            f"selection={selection.name}",
            "use selection=all, diverse or random",
        ),
        (
            experiment.uses("supplement") and supplement.needs_gold,
            "supplement.source=data",
            "use supplement.source=llm",
        ),
        (reviewed is not None, "dataset.reviewed", "leave it out"),
        (human_votes is not None, "dataset.human_votes_column", "leave it out"),
        (dataset.positive_class is not None, "dataset.positive_class", "set it to null"),
    )
    for applies, what, advice in refused:
        if applies:
            raise ConfigError(
                f"dataset.multi_label=true does not work with {what}; {advice}, or set dataset.multi_label=false."
            )
