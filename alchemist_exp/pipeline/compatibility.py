"""Finds what would stop a run later: components that cannot work here, or that contradict each other or the data."""

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.types import Split
from alchemist_exp.data.text_data import TextData
from alchemist_exp.end_model.mlp import Mlp
from alchemist_exp.end_model.prediction import CombinedPrediction
from alchemist_exp.label_models.auto import Auto
from alchemist_exp.methods.alchemist import AlchemistMethod
from alchemist_exp.methods.base import ProgramMethod
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.multi_label_checks import check_multi_label
from alchemist_exp.programs.types import FUNCTION
from alchemist_exp.supplements.written import NoSupplement


def check_experiment(experiment: Experiment) -> None:
    """Find, before any money is spent, what would stop the run later.

    Args:
        experiment: The experiment.

    Raises:
        AlchemistError: A component cannot work here, or two components contradict each other.

    """
    _check_rows(experiment)
    check_multi_label(experiment)
    reviewed = getattr(experiment.dataset, "reviewed", None) is not None
    for group, used in experiment.used_components():
        # A label model that learns from gold labels refuses gold=none, but reviewed rows are enough for it.
        if not (group == "label_model" and experiment.label_model.uses_gold and reviewed):
            used.check()
    experiment.logger.check()
    if experiment.uses("supplement") and experiment.supplement.needs_gold and not experiment.gold.use_valid:
        raise ConfigError(
            "supplement.source is data, which shows labeled rows, and gold is none; use gold=valid, or "
            "supplement.source=llm."
        )
    if isinstance(experiment.end_model, Mlp) and experiment.end_model.calibrate and not experiment.gold.use_valid:
        raise ConfigError(
            "end_model.calibrate=true fits a temperature on the gold labels of valid, and gold is none; use "
            "gold=valid, or end_model.calibrate=false."
        )
    if isinstance(experiment.predict, CombinedPrediction):
        _check_prediction(experiment, experiment.predict)
    if isinstance(experiment.method, ProgramMethod):
        _check_programs(experiment, experiment.method)
    if isinstance(experiment.method, AlchemistMethod):
        _check_prompt(experiment, experiment.method)
    paid = experiment.uses("llm") and not experiment.llm.replays
    if paid and experiment.budget.usd is not None and experiment.llm.price is None:
        raise ConfigError(
            f"budget.usd is {experiment.budget.usd:g}, and the price of {experiment.llm.model} is not known; give it "
            "with 'llm.price={input_usd_per_million:1,output_usd_per_million:2,as_of:today}', or set budget.usd=null."
        )


def check_with_data(experiment: Experiment, data: TextData) -> None:
    """Find what would stop the run later and depends on the data.

    Args:
        experiment: The experiment.
        data: The loaded dataset.

    Raises:
        ConfigError: The label model or the weight of predict=combine needs gold labels that the dataset does not have,
            the prompt is for other rows, or the file of concepts is not usable.

    """
    if (
        isinstance(experiment.predict, CombinedPrediction)
        and experiment.predict.weight is None
        and data.gold(Split.VALID) is None
    ):
        raise ConfigError(
            f"predict=combine chooses the weight on labels of valid and {experiment.dataset.name} has none; label a "
            "valid split, or set predict.weight, for example predict.weight=0.5."
        )
    if (isinstance(experiment.method, AlchemistMethod) or experiment.uses("refine")) and not experiment.scores_concepts:
        experiment.prompt.check_task(data.task)
    if experiment.scores_concepts:
        experiment.concepts.check_file(data.task)
    label_model = experiment.label_model
    needs_gold = label_model.uses_gold and not isinstance(label_model, Auto)
    labeled = data.gold(Split.VALID) is not None or data.reviewed is not None
    if experiment.uses("label_model") and needs_gold and not labeled:
        raise ConfigError(
            f"label_model={label_model.name} learns from labels of valid and {experiment.dataset.name} has none; "
            "label a valid split, or use label_model=majority."
        )


def _check_rows(experiment: Experiment) -> None:
    """Raise ConfigError when the dataset, the method and the feature extractor are for other rows."""
    dataset, method, extractor = experiment.dataset, experiment.method, experiment.feature_extractor
    images, supplement = dataset.images, experiment.supplement
    if images and not method.labels_images:
        raise ConfigError(
            f"method={method.name} sends texts to an LLM, and the rows of dataset={dataset.name} are images; "
            "use method=alchemist, or method=clip_zero_shot."
        )
    if not images and not method.labels_texts:
        raise ConfigError(
            f"method={method.name} labels images, and the rows of dataset={dataset.name} are not images; use "
            "method=alchemist."
        )
    if images and not experiment.scores_concepts and experiment.uses("supplement") and supplement.needs_gold:
        raise ConfigError(
            f"supplement={supplement.name} shows rows in the prompt, and an image cannot be shown there; use "
            "supplement=none, or supplement.source=llm."
        )
    if images and experiment.uses("refine"):
        raise ConfigError(
            f"refine={experiment.refine.name} describes rows by their words, and the rows of dataset={dataset.name} "
            "are images; use refine=none."
        )
    if images:
        _ = experiment.image_encoder
    elif extractor.reads != "texts":
        raise ConfigError(
            f"feature_extractor={extractor.name} reads {extractor.reads}, and the rows "
            f"of dataset={dataset.name} are not images; use feature_extractor=combined."
        )


def _check_prediction(experiment: Experiment, predict: CombinedPrediction) -> None:
    """Raise ConfigError when there is nothing to mix, or no labels to choose the weight by."""
    if not experiment.end_model.trains:
        raise ConfigError(
            f"predict=combine needs a distilled model, and end_model={experiment.end_model.name} has none."
        )
    if not experiment.uses("label_model"):
        raise ConfigError(
            f"predict=combine mixes a label model in, and method={experiment.method.name} has none; use "
            "predict=distilled."
        )
    if predict.weight is None and not experiment.gold.use_valid:
        raise ConfigError(
            "predict=combine chooses the weight on labels of valid, and gold is none; use gold=valid, or set "
            "predict.weight, for example predict.weight=0.5."
        )


def _check_programs(experiment: Experiment, method: ProgramMethod) -> None:
    """Raise ConfigError for what would be found only after the programs were paid for."""
    model, requested = experiment.label_model, method.n_requested(experiment.supplement)
    n_voting = experiment.selection.max_selected(requested, method.n_strategies(experiment.supplement))
    if n_voting < model.min_programs:
        more = [method.advice_for_more_programs] * (requested < model.min_programs)
        more += ["raise selection.n"] * (n_voting < min(requested, model.min_programs))
        raise ConfigError(
            f"label_model={model.name} needs {model.min_programs} programs and at most {n_voting} can vote; "
            f"{' and '.join(more)}, or use label_model=majority."
        )
    if experiment.vetting.reject_nondeterministic and not experiment.sandbox.determinism_rows:
        raise ConfigError(
            "vetting.reject_nondeterministic is true and sandbox.determinism_rows is 0, so no program would be "
            "tried; raise the latter, or use vetting=basic."
        )
    limit = experiment.repair.max_responses
    if isinstance(method, AlchemistMethod) and limit is not None and limit < method.n_programs:
        raise ConfigError(
            f"repair.max_responses is {limit}, less than method.n_programs, {method.n_programs}; raise it, or ask "
            "for fewer programs."
        )


def _check_prompt(experiment: Experiment, method: AlchemistMethod) -> None:
    """Raise ConfigError for a prompt that drops what is configured, or asks for another function."""
    prompt, supplement = experiment.prompt, experiment.supplement
    template = " ".join(prompt.program)
    for placeholder, wanted, choice in (
        ("[supplement]", not isinstance(supplement, NoSupplement), f"supplement={supplement.name}"),
        ("[performance_hint]", method.performance_hint, "method.performance_hint=true"),
    ):
        if wanted and placeholder not in template:
            raise ConfigError(
                f"prompt={prompt.name} has no {placeholder} in prompt.program, so {choice} would have no "
                f"effect; add '{placeholder}' to the list, or leave out {choice}."
            )
    several = experiment.dataset.is_multi_label
    key, signature = "signature", prompt.signature
    if several:
        key, signature = "multi_label.signature", prompt.multi_label["signature"]
    if FUNCTION not in signature:
        raise ConfigError(
            f"prompt.{key} is {signature!r}; the function must be called {FUNCTION}, as in "
            f"'def {FUNCTION}([subject]: str) -> {'list[int]' if several else 'int'}:'."
        )
