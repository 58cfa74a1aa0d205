"""An experiment: one working object per configuration group. It is also the schema of the whole configuration."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from omegaconf import MISSING

from alchemist_exp.core.component import Component, component
from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import code_fingerprint, key_of, to_jsonable
from alchemist_exp.core.types import Split
from alchemist_exp.data.base import Dataset, TextData
from alchemist_exp.end_model.base import EndModel
from alchemist_exp.features.base import FeatureExtractor
from alchemist_exp.label_models.base import LabelModel
from alchemist_exp.llm.budget import Budget
from alchemist_exp.llm.client import LLMClient
from alchemist_exp.llm.providers.base import CacheMode
from alchemist_exp.llm.response_cache import ResponseCache
from alchemist_exp.llm.types import LLM
from alchemist_exp.methods.base import Method, Parts
from alchemist_exp.programs.repair import Repair
from alchemist_exp.programs.selection import Selection
from alchemist_exp.programs.vetting import Vetting
from alchemist_exp.results.provenance import package_versions
from alchemist_exp.sandbox.base import Sandbox
from alchemist_exp.supplements.base import Supplement
from alchemist_exp.tracking.base import Logger


@component("seed", "seeds")
@dataclass(kw_only=True)
class Seeds(Component):
    """The end model's seeds; all of them are trained in one job."""

    values: list[int] = MISSING

    def __post_init__(self) -> None:
        values = list(self.values)
        # torch's CPU generator goes by 32 bits: larger seeds would be others again.
        if not values or len(set(values)) < len(values) or min(values) < 0 or max(values) >= 2**32:
            raise ConfigError(f"seed.values is {values}; different numbers from 0 to 2**32 - 1 are needed.")


@component("gold", "gold")
@dataclass(kw_only=True)
class Gold(Component):
    """Which gold labels the stages may use. Scoring uses what is there; no stage ever uses test labels otherwise."""

    use_valid: bool = MISSING


@component("debug", "debug")
@dataclass(kw_only=True)
class Debug(Component):
    """Help in finding faults. trace: a full traceback instead of one sentence."""

    trace: bool = MISSING


@dataclass(kw_only=True)
class Paths:
    """Where things lie. outputs: all that is written. data: where datasets that are not embedded are looked for."""

    outputs: str = MISSING
    data: str = MISSING

    def __post_init__(self) -> None:
        if not self.outputs.strip():
            raise ConfigError("paths.outputs is empty; name a folder.")
        try:
            _ = self.root
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(f"paths.outputs is {self.outputs!r}, which cannot be a folder: {error}.") from error

    @property
    def root(self) -> Path:
        """The folder that everything written lies under."""
        return Path(self.outputs).expanduser().resolve()

    @property
    def runs(self) -> Path:
        """A folder per run key."""
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        """Replies, votes and features."""
        return self.root / "cache"


@dataclass(kw_only=True)
class Experiment:
    """Everything a run depends on.

    budget: the most that may be spent. force: run again although the run's record is finished.
    """

    dataset: Dataset = MISSING
    llm: LLM = MISSING
    supplement: Supplement = MISSING
    method: Method = MISSING
    vetting: Vetting = MISSING
    repair: Repair = MISSING
    selection: Selection = MISSING
    label_model: LabelModel = MISSING
    feature_extractor: FeatureExtractor = MISSING
    end_model: EndModel = MISSING
    seed: Seeds = MISSING
    sandbox: Sandbox = MISSING
    logger: Logger = MISSING
    gold: Gold = MISSING
    debug: Debug = MISSING
    paths: Paths = MISSING
    budget: Budget = MISSING
    force: bool = MISSING

    def check(self) -> None:
        """Finds, before anything is spent, what would stop the run later."""
        for part in (*self._matters(), self.logger):
            part.check()
        if self.supplement in self._matters() and self.supplement.needs_gold and not self.gold.use_valid:
            raise ConfigError(
                "supplement.source is data, which shows labeled rows, and gold is none; use gold=valid, or "
                "supplement.source=llm."
            )
        self._check_programs()
        asked = not self.llm.replays and any(part is self.llm for part in self._matters())
        if asked and self.budget.usd is not None and self.llm.price is None:
            raise ConfigError(
                f"budget.usd is {self.budget.usd:g}, and the price of {self.llm.model} is not known; give it with "
                "llm.price={input_usd_per_million:1,output_usd_per_million:2,as_of:today}, or set budget.usd=null."
            )

    def check_against(self, data: TextData) -> None:
        """As `check`, where it takes the data to tell. ConfigError."""
        used = any(component is self.label_model for component in self._matters())
        if used and self.label_model.uses_gold and data.gold(Split.VALID) is None:
            raise ConfigError(
                f"label_model={self.label_model.name} learns from labels of valid and {self.dataset.name} has none; "
                "label a valid split, or use label_model=majority."
            )

    def _check_programs(self) -> None:
        """What would be found only after the programs were paid for."""
        most, model = self.method.most_programs(self.parts), self.label_model
        if most is not None and most < model.min_programs:
            raise ConfigError(
                f"label_model={model.name} needs {model.min_programs} programs and at most {most} can vote; raise "
                "method.n_programs or selection.n, or use label_model=majority."
            )
        if most is not None and self.vetting.reject_nondeterministic and not self.sandbox.determinism_rows:
            raise ConfigError(
                "vetting.reject_nondeterministic is true and sandbox.determinism_rows is 0, so nothing would be found; "
                "raise the latter, or use vetting=basic."
            )
        drafts, replies = getattr(self.method, "n_programs", None), self.repair.max_responses
        if drafts is not None and replies is not None and replies < drafts:
            raise ConfigError(
                f"repair.max_responses is {replies}, less than method.n_programs, {drafts}; raise it, or ask for fewer."
            )

    def without_effect(self, overrides: Sequence[str]) -> list[str]:
        """A note for each group that was chosen in `overrides` and that the method does not use."""
        parts, used = self.parts, self.method.used(self.parts)
        chosen = {override.lstrip("+").partition("=")[0].partition(".")[0]: override for override in overrides}
        return [
            f"{chosen[f.name]} has no effect with method={self.method.name}."
            for f in fields(parts)
            if f.name in chosen and not any(component is getattr(parts, f.name) for component in used)
        ]

    @property
    def parts(self) -> Parts:
        """What methods choose from."""
        return Parts(
            llm=self.llm,
            supplement=self.supplement,
            sandbox=self.sandbox,
            vetting=self.vetting,
            repair=self.repair,
            selection=self.selection,
            label_model=self.label_model,
        )

    def _matters(self) -> tuple[Component, ...]:
        return (
            self.dataset, self.method, *self.method.used(self.parts), self.feature_extractor, self.end_model, self.seed,
            self.gold,
        )  # fmt: skip

    @property
    def anew(self) -> bool:
        """Whether to run although such a run has finished: asked for, or implied by asking the LLM anew."""
        return self.force or getattr(self.llm, "cache", None) is CacheMode.refresh

    def llm_client(self) -> LLMClient:
        """Return the client that sends requests to the LLM."""
        return LLMClient(self.llm, ResponseCache(self.paths.cache / "replies"), self.paths.cache, self.budget.usd)

    def component_keys(self) -> dict[str, dict[str, object]]:
        """Return what alters the result, by group; runs whose keys differ are not merged in a comparison.

        Returns:
            For each group whose component the method uses, the component's cache key. The LLM's key also has its price,
            which alters costs, and its `base_url` without a final slash.

        """
        used = self._matters()
        keys = {
            f.name: part.cache_key()
            for f in fields(self)
            if isinstance(part := getattr(self, f.name), Component) and any(part is other for other in used)
        }
        if "llm" in keys:
            base_url = getattr(self.llm, "base_url", None)
            keys["llm"] |= {"base_url": base_url and base_url.rstrip("/"), "price": to_jsonable(self.llm.price)}
        return keys

    def run_key(self, data_fingerprint: str) -> str:
        """The key of all that matters: every component that the method uses, the data, the code and its packages."""
        parts = [component.key() for component in self._matters()]
        code = {"ours": code_fingerprint(), "packages": package_versions()}
        return key_of("run", {"parts": parts, "data": data_fingerprint, "code": code})
