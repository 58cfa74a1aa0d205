"""An experiment: one working object per configuration group. The class is also the schema of the configuration."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from omegaconf import MISSING

from alchemist_exp.concepts.source import Concepts
from alchemist_exp.core.component import Component
from alchemist_exp.core.errors import AlchemistError, ConfigError, MissingPackageError
from alchemist_exp.core.hashing import code_fingerprint, key_of, to_jsonable
from alchemist_exp.data.base import Dataset
from alchemist_exp.end_model.base import EndModel
from alchemist_exp.end_model.prediction import Prediction
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.features.images.base import ImageTextEncoder
from alchemist_exp.label_models.base import LabelModel
from alchemist_exp.llm.budget import Budget
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.providers.base import CacheMode
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import LLM
from alchemist_exp.methods.base import Method, ProgramMethod
from alchemist_exp.methods.hybrid import OVER_BUDGET
from alchemist_exp.methods.zero_shot import FAILED_KINDS
from alchemist_exp.pipeline.settings import Debug, Gold, Paths, Seeds, SweepSettings
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.selection import Selection
from alchemist_exp.programs.vetting import Vetting
from alchemist_exp.prompts.templates import PromptTemplates
from alchemist_exp.refinement.settings import Refinement
from alchemist_exp.results.provenance import package_versions
from alchemist_exp.results.record import RunRecord
from alchemist_exp.sandbox.base import Sandbox
from alchemist_exp.supplements.base import Supplement
from alchemist_exp.tracking.base import Logger

METHOD_GROUPS: Final = ("llm", "prompt", "supplement", "repair", "sandbox", "vetting", "selection", "label_model")
"""The groups that some methods use and others do not; `Method.used_groups` names those that a method uses."""

_ENCODERS: Final = {"toy_birds": "feature_extractor=clip_toy"}
_PHOTO_ENCODERS: Final = "feature_extractor=clip_vit_b32, clip_vit_l14 or conse"


@dataclass(kw_only=True)
class Experiment:
    """Everything that a run depends on: the component of each group, and a few values without a group.

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
