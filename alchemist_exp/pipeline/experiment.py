"""An experiment: one working object per configuration group. The class is also the schema of the configuration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from omegaconf import MISSING

from alchemist_exp.concepts.source import Concepts
from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import AlchemistError, ConfigError, MissingPackageError
from alchemist_exp.core.hashing import code_fingerprint, key_of, to_jsonable
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import Dataset
from alchemist_exp.data.text_data import TextData
from alchemist_exp.end_model.base import EndModel
from alchemist_exp.end_model.mlp import Mlp
from alchemist_exp.end_model.prediction import CombinedPrediction, Prediction
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.images.base import ImageTextEncoder
from alchemist_exp.label_models.auto import Auto
from alchemist_exp.label_models.base import LabelModel
from alchemist_exp.llm.budget import Budget
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.providers.base import CacheMode
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import LLM
from alchemist_exp.methods.alchemist import AlchemistMethod
from alchemist_exp.methods.base import Method, ProgramMethod
from alchemist_exp.methods.hybrid import OVER_BUDGET
from alchemist_exp.methods.zero_shot import FAILED_KINDS
from alchemist_exp.pipeline.multi_label_checks import check_multi_label
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.selection import Selection
from alchemist_exp.programs.types import FUNCTION
from alchemist_exp.programs.vetting import Vetting
from alchemist_exp.prompts.templates import PromptTemplates
from alchemist_exp.refinement.settings import Refinement
from alchemist_exp.results.provenance import package_versions
from alchemist_exp.results.record import RunRecord
from alchemist_exp.sandbox.base import Sandbox
from alchemist_exp.supplements.base import Supplement
from alchemist_exp.supplements.written import NoSupplement
from alchemist_exp.tracking.base import Logger

METHOD_GROUPS: Final = ("llm", "prompt", "supplement", "repair", "sandbox", "vetting", "selection", "label_model")
"""The groups that some methods use and others do not; `Method.used_groups` names those that a method uses."""

_ENCODERS: Final = {"toy_birds": "feature_extractor=clip_toy"}
_PHOTO_ENCODERS: Final = "feature_extractor=clip_vit_b32, clip_vit_l14 or conse"


@component("seed", "seeds")
@dataclass(kw_only=True)
class Seeds(Component):
    """The seeds of the end model; one job trains all of them."""

    values: list[int] = MISSING

    def __post_init__(self) -> None:
        values = list(self.values)
        # torch's CPU generator uses the lowest 32 bits only: two larger seeds could be the same.
        if not values or len(set(values)) < len(values) or min(values) < 0 or max(values) >= 2**32:
            raise ConfigError(f"seed.values is {values}; expected different numbers from 0 to 2**32 - 1.")


@component("gold", "gold")
@dataclass(kw_only=True)
class Gold(Component):
    """Which gold labels the stages may use.

    Scores are computed wherever there are labels. No stage uses test labels for anything else.

    Attributes:
        use_valid: Whether stages may use the labels of train and valid.

    """

    use_valid: bool = MISSING


@component("debug", "debug")
@dataclass(kw_only=True)
class Debug(Component):
    """Help for finding errors.

    Attributes:
        trace: Whether an error is shown with a full traceback.

    """

    trace: bool = MISSING


@dataclass(kw_only=True)
class Paths:
    """Directories.

    Attributes:
        outputs: Everything that is written.
        data: Where datasets are that the package does not contain.

    """

    outputs: str = MISSING
    data: str = MISSING

    def __post_init__(self) -> None:
        if not self.outputs.strip():
            raise ConfigError("paths.outputs is empty; name a directory.")
        try:
            _ = self.root
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(f"paths.outputs is {self.outputs!r}, which cannot be a directory: {error}.") from error

    @property
    def root(self) -> Path:
        """The absolute path of everything that is written."""
        return Path(self.outputs).expanduser().resolve()

    @property
    def runs(self) -> Path:
        """One directory per run key."""
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        """LLM responses, votes and features."""
        return self.root / "cache"


class OnInterrupt(StrEnum):
    """What Ctrl-C or SIGTERM of a sweep does with its jobs in the queue of Slurm.

    Members are in lower case because OmegaConf converts a configuration value by the member's name.
    """

    cancel = "cancel"
    leave = "leave"


@dataclass(kw_only=True)
class SweepSettings:
    """How the jobs of a sweep are chosen and ended; no result depends on it, and no record has it.

    Attributes:
        file: A file with the overrides of one job per line.
        skip: Combinations of overrides to leave out.
        fail_fast: Whether no further job is started after a job has failed.
        on_interrupt: What Ctrl-C or SIGTERM does with the jobs that the command has submitted to Slurm.

    """

    file: str | None = MISSING
    skip: list[str] = MISSING
    fail_fast: bool = MISSING
    on_interrupt: OnInterrupt = MISSING


@dataclass(kw_only=True)
class Experiment:
    """Everything that a run depends on: the component of each group, and a few values of its own.

    Attributes:
        budget: How much may be spent on LLMs.
        force: Whether to run again although the run's record is finished.
        report: Whether a run that is not part of a sweep writes its report.
        sweep: How the jobs of a sweep are chosen.

    """

    dataset: Dataset = MISSING
    llm: LLM = MISSING
    prompt: PromptTemplates = MISSING
    supplement: Supplement = MISSING
    concepts: Concepts = MISSING
    method: Method = MISSING
    vetting: Vetting = MISSING
    repair: Repair = MISSING
    refine: Refinement = MISSING
    selection: Selection = MISSING
    label_model: LabelModel = MISSING
    feature_extractor: FeatureExtractor = MISSING
    end_model: EndModel = MISSING
    predict: Prediction = MISSING
    seed: Seeds = MISSING
    sandbox: Sandbox = MISSING
    logger: Logger = MISSING
    gold: Gold = MISSING
    debug: Debug = MISSING
    paths: Paths = MISSING
    budget: Budget = MISSING
    force: bool = MISSING
    report: bool = MISSING
    sweep: SweepSettings = MISSING

    def used_components(self) -> Iterator[tuple[str, Component]]:
        """Yield the components that can alter the result, with their groups.

        Yields:
            The group and the component; groups that the method does not use are left out.

        """
        last = ("feature_extractor", "end_model", "predict", "seed", "gold")
        for group in ("dataset", "method", *self.used_groups, *last):
            yield group, getattr(self, group)

    @property
    def used_groups(self) -> tuple[str, ...]:
        """The groups that the method uses on this dataset."""
        groups = self.method.used_groups
        if self.refine.has_rounds and isinstance(self.method, ProgramMethod):
            groups = (*dict.fromkeys((*groups, "llm", "prompt", "repair", "refine")),)
        if not self.scores_concepts:
            return groups
        asked = ("llm", "prompt") if self.concepts.file is None else ()
        return (*dict.fromkeys((*groups, *asked)), "concepts")

    @property
    def scores_concepts(self) -> bool:
        """Whether programs receive the concept scores of images."""
        return self.dataset.images and self.method.reads_scores and self.concepts.use

    @property
    def image_encoder(self) -> ImageTextEncoder:
        """The feature extractor of an image dataset.

        Raises:
            ConfigError: It does not read images, or does not compare them with texts.

        """
        if not isinstance(self.feature_extractor, ImageTextEncoder):
            raise ConfigError(
                f"feature_extractor={self.feature_extractor.name} reads {self.feature_extractor.reads}, and the rows "
                f"of dataset={self.dataset.name} are images that are compared with texts; use "
                f"{_ENCODERS.get(self.dataset.name, _PHOTO_ENCODERS)}."
            )
        return self.feature_extractor

    def uses(self, group: str) -> bool:
        """Return whether a group can alter the result.

        Args:
            group: A group of `METHOD_GROUPS`, concepts or refine.

        Returns:
            Whether the method uses it on this dataset.

        """
        return group in self.used_groups

    def check(self) -> None:
        """Find, before any money is spent, what would stop the run later.

        Raises:
            AlchemistError: A component cannot work here, or two components contradict each other.

        """
        self._check_rows()
        self.check_several_classes()
        reviewed = getattr(self.dataset, "reviewed", None) is not None
        for group, used in self.used_components():
            # A label model that learns from gold labels refuses gold=none, but reviewed rows are enough for it.
            if not (group == "label_model" and self.label_model.uses_gold and reviewed):
                used.check()
        self.logger.check()
        if self.uses("supplement") and self.supplement.needs_gold and not self.gold.use_valid:
            raise ConfigError(
                "supplement.source is data, which shows labeled rows, and gold is none; use gold=valid, or "
                "supplement.source=llm."
            )
        if isinstance(self.end_model, Mlp) and self.end_model.calibrate and not self.gold.use_valid:
            raise ConfigError(
                "end_model.calibrate=true fits a temperature on the gold labels of valid, and gold is none; use "
                "gold=valid, or end_model.calibrate=false."
            )
        if isinstance(self.predict, CombinedPrediction):
            self._check_prediction(self.predict)
        if isinstance(self.method, ProgramMethod):
            self._check_programs(self.method)
        if isinstance(self.method, AlchemistMethod):
            self._check_prompt(self.method)
        paid = self.uses("llm") and not self.llm.replays
        if paid and self.budget.usd is not None and self.llm.price is None:
            raise ConfigError(
                f"budget.usd is {self.budget.usd:g}, and the price of {self.llm.model} is not known; give it with "
                "'llm.price={input_usd_per_million:1,output_usd_per_million:2,as_of:today}', or set budget.usd=null."
            )

    def check_several_classes(self) -> None:
        """Raise ConfigError for what cannot label several classes per row, if the dataset has them."""
        if self.dataset.is_multi_label:
            check_multi_label(
                dataset=self.dataset,
                method=self.method,
                supplement=self.supplement if self.uses("supplement") else None,
                refine=self.refine,
                selection=self.selection,
                label_model=self.label_model,
                end_model=self.end_model,
                predict=self.predict,
            )

    def missing_packages(self) -> list[str]:
        """Return a sentence for each component that needs a package of an extra that is not installed."""
        missing = []
        for group, used in self.used_components():
            if group == "sandbox":
                continue  # it needs the standard library only, and its check runs a program
            try:
                used.check()
            except MissingPackageError as error:
                missing.append(str(error))
            except AlchemistError:
                pass  # the run is refused with it
        return missing

    def check_against(self, data: TextData) -> None:
        """Find what would stop the run later and depends on the data.

        Args:
            data: The loaded dataset.

        Raises:
            ConfigError: The label model needs gold labels that the dataset does not have, or the prompt is for other
                rows.

        """
        if (
            isinstance(self.predict, CombinedPrediction)
            and self.predict.weight is None
            and data.gold(Split.VALID) is None
        ):
            raise ConfigError(
                f"predict=combine chooses the weight on labels of valid and {self.dataset.name} has none; label a "
                "valid split, or set predict.weight, for example predict.weight=0.5."
            )
        if (isinstance(self.method, AlchemistMethod) or self.uses("refine")) and not self.scores_concepts:
            self.prompt.check_task(data.task)
        if self.scores_concepts:
            self.concepts.check_file(data.task)
        needs_gold = self.label_model.uses_gold and not isinstance(self.label_model, Auto)
        labeled = data.gold(Split.VALID) is not None or data.reviewed is not None
        if self.uses("label_model") and needs_gold and not labeled:
            raise ConfigError(
                f"label_model={self.label_model.name} learns from labels of valid and {self.dataset.name} has none; "
                "label a valid split, or use label_model=majority."
            )

    def _check_rows(self) -> None:
        """Raise ConfigError when the dataset, the method and the feature extractor are for other rows."""
        images, method = self.dataset.images, self.method
        if images and not method.labels_images:
            raise ConfigError(
                f"method={method.name} sends texts to an LLM, and the rows of dataset={self.dataset.name} are images; "
                "use method=alchemist, or method=clip_zero_shot."
            )
        if not images and not method.labels_texts:
            raise ConfigError(
                f"method={method.name} labels images, and the rows of dataset={self.dataset.name} are not images; use "
                "method=alchemist."
            )
        if images and not self.scores_concepts and self.uses("supplement") and self.supplement.needs_gold:
            raise ConfigError(
                f"supplement={self.supplement.name} shows rows in the prompt, and an image cannot be shown there; use "
                "supplement=none, or supplement.source=llm."
            )
        if images and self.uses("refine"):
            raise ConfigError(
                f"refine={self.refine.name} describes rows by their words, and the rows of dataset={self.dataset.name} "
                "are images; use refine=none."
            )
        if images:
            _ = self.image_encoder
        elif self.feature_extractor.reads != "texts":
            raise ConfigError(
                f"feature_extractor={self.feature_extractor.name} reads {self.feature_extractor.reads}, and the rows "
                f"of dataset={self.dataset.name} are not images; use feature_extractor=combined."
            )

    def _check_prediction(self, predict: CombinedPrediction) -> None:
        """Raise ConfigError when there is nothing to mix, or no labels to choose the weight by."""
        if not self.end_model.trains:
            raise ConfigError(f"predict=combine needs a distilled model, and end_model={self.end_model.name} has none.")
        if not self.uses("label_model"):
            raise ConfigError(
                f"predict=combine mixes a label model in, and method={self.method.name} has none; use "
                "predict=distilled."
            )
        if predict.weight is None and not self.gold.use_valid:
            raise ConfigError(
                "predict=combine chooses the weight on labels of valid, and gold is none; use gold=valid, or set "
                "predict.weight, for example predict.weight=0.5."
            )

    def _check_programs(self, method: ProgramMethod) -> None:
        """Raise ConfigError for what would be found only after the programs were paid for."""
        model, requested = self.label_model, method.n_requested(self.supplement)
        n_voting = self.selection.max_selected(requested, method.n_strategies(self.supplement))
        if n_voting < model.min_programs:
            more = [method.advice_for_more_programs] * (requested < model.min_programs)
            more += ["raise selection.n"] * (n_voting < min(requested, model.min_programs))
            raise ConfigError(
                f"label_model={model.name} needs {model.min_programs} programs and at most {n_voting} can vote; "
                f"{' and '.join(more)}, or use label_model=majority."
            )
        if self.vetting.reject_nondeterministic and not self.sandbox.determinism_rows:
            raise ConfigError(
                "vetting.reject_nondeterministic is true and sandbox.determinism_rows is 0, so no program would be "
                "tried; raise the latter, or use vetting=basic."
            )
        limit = self.repair.max_responses
        if isinstance(method, AlchemistMethod) and limit is not None and limit < method.n_programs:
            raise ConfigError(
                f"repair.max_responses is {limit}, less than method.n_programs, {method.n_programs}; raise it, or ask "
                "for fewer programs."
            )

    def _check_prompt(self, method: AlchemistMethod) -> None:
        """Raise ConfigError for a prompt that drops what is configured, or asks for another function."""
        template = " ".join(self.prompt.program)
        for placeholder, wanted, choice in (
            ("[supplement]", not isinstance(self.supplement, NoSupplement), f"supplement={self.supplement.name}"),
            ("[performance_hint]", method.performance_hint, "method.performance_hint=true"),
        ):
            if wanted and placeholder not in template:
                raise ConfigError(
                    f"prompt={self.prompt.name} has no {placeholder} in prompt.program, so {choice} would have no "
                    f"effect; add '{placeholder}' to the list, or leave out {choice}."
                )
        several = self.dataset.is_multi_label
        key, signature = "signature", self.prompt.signature
        if several:
            key, signature = "multi_label.signature", self.prompt.multi_label["signature"]
        if FUNCTION not in signature:
            raise ConfigError(
                f"prompt.{key} is {signature!r}; the function must be called {FUNCTION}, as in "
                f"'def {FUNCTION}([subject]: str) -> {'list[int]' if several else 'int'}:'."
            )

    def unused_overrides(self, overrides: Sequence[str]) -> list[str]:
        """Return a note for each override of a group that the method does not use.

        Args:
            overrides: Hydra overrides, as on the command line.

        Returns:
            One sentence per group.

        """
        by_group = {override.lstrip("+").partition("=")[0].partition(".")[0]: override for override in overrides}
        notes = [
            f"{by_group[group]} has no effect with method={self.method.name}."
            for group in (*METHOD_GROUPS, *(["refine"] if self.refine.has_rounds else []))
            if group in by_group and not self.uses(group)
        ]
        reads_concepts = self.dataset.images and self.method.reads_scores  # concepts.use=false counts, too
        if "concepts" in by_group and not reads_concepts:
            notes.append(
                f"{by_group['concepts']} has no effect with dataset={self.dataset.name} method={self.method.name}."
            )
        return notes

    @property
    def runs_again(self) -> bool:
        """Whether to run although such a run has finished: by `force`, or because LLM responses are to be new."""
        return self.force or getattr(self.llm, "cache", None) is CacheMode.refresh

    def runs_again_after(self, record: RunRecord | None) -> bool:
        """Return whether to run although such a run has finished, also because rows of it got no response.

        Args:
            record: The record of the finished run; None if there is none.

        Returns:
            Whether the run is repeated. What is in the cache is not asked for again.

        """
        if self.runs_again or record is None:
            return self.runs_again
        outcomes = record.programs.get("asked_rows", {}).get("outcomes", record.programs.get("row_outcomes", {}))
        if OVER_BUDGET in outcomes and record.config["budget"]["usd"] != self.budget.usd:
            return True
        return bool(getattr(self.llm, "retry_failed", False)) and not FAILED_KINDS.isdisjoint(outcomes)

    def llm_client(self) -> LLMClient:
        """Return a client of the configured LLM with the cache, budget and limits of the outputs directory.

        Returns:
            A client that has made no call yet.

        """
        return LLMClient(self.llm, ResponseCache(self.paths.cache / "replies"), self.paths.cache, self.budget.usd)

    def component_keys(self) -> dict[str, dict[str, object] | None]:
        """Return what alters the result, by group, for the record: a comparison does not merge runs that differ in it.

        Returns:
            The key of each component that alters the result, and None for a group that the method does not use. The
            LLM's key also has its price, which alters the costs, and its `base_url` without a final slash.

        """
        keys: dict[str, dict[str, object] | None] = dict.fromkeys(METHOD_GROUPS)
        keys |= {group: used.key() for group, used in self.used_components()}
        if llm_key := keys.get("llm"):
            base_url = getattr(self.llm, "base_url", None)
            llm_key |= {"base_url": base_url and base_url.rstrip("/"), "price": to_jsonable(self.llm.price)}
        return keys

    def run_key(self, data_fingerprint: str) -> str:
        """Return the key of everything that can alter the result.

        Args:
            data_fingerprint: The fingerprint of the loaded dataset.

        Returns:
            A key of all used components, the data, the code and the versions of its packages.

        """
        parts = [used.key() for _, used in self.used_components()]
        code = {"ours": code_fingerprint(), "packages": package_versions()}
        return key_of("run", {"parts": parts, "data": data_fingerprint, "code": code})
