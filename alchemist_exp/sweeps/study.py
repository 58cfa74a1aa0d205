"""The study of Optuna in a search: it chooses values, gets the score of each trial, and names the best one."""

from typing import TYPE_CHECKING, Final

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.locks import locked
from alchemist_exp.core.types import Split
from alchemist_exp.results.record import RunRecord, RunResult
from alchemist_exp.sweeps.job_list import SweepJob
from alchemist_exp.sweeps.outcome import SearchResult
from alchemist_exp.sweeps.overrides import without_sweep_keys
from alchemist_exp.sweeps.search_space import SearchSpace

if TYPE_CHECKING:
    from optuna import Study

USE: Final = f"{Split.VALID}: search for values"
"""The use of gold labels that the record of a trial names, with the number of rows."""

INSTALL: Final = "pip install -c constraints.txt -e '.[optuna]'"


def new_study(seed: int) -> "Study":
    """Return a study of Optuna in memory: the records of the trials are what is stored.

    Args:
        seed: The seed of the sampler.

    Raises:
        ConfigError: Optuna is not installed.

    """
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(f"hydra/sweeper=optuna needs the extra optuna: {INSTALL}") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))


def valid_score(record: RunRecord) -> float | None:
    """Return the score that a search compares, the dataset's own metric on valid.

    Args:
        record: The record of a finished run.

    Returns:
        The mean over the seeds of the distilled model, or the label model's score with end_model=none; None where the
        score is not defined, such as an F1 score without rows of the positive class.

    """
    metric = record.metric
    if record.end_model["seeds"]:
        summary = record.end_model["metrics"].get(Split.VALID.value) or {}
        value = (summary.get(metric) or {}).get("mean")
    else:
        value = (record.label_model["metrics"].get(Split.VALID.value) or {}).get(metric)
    return None if value is None else float(value)


def tell(study: "Study", number: int, result: RunResult | None) -> None:
    """Give Optuna the score of a trial, and note in the run's record that the labels of valid were used for it.

    Args:
        study: The study.
        number: The number of the trial.
        result: Its run; None for a trial without a finished one.

    """
    from optuna.trial import TrialState

    score = None
    if result is not None:
        score = valid_score(result.record)
        with locked(result.directory.parent / ".locks" / f"{result.directory.name}.lock"):
            # Read again under the lock, because another search may have noted its use meanwhile.
            record = RunRecord.read_current(result.directory)
            if record is not None:
                rows, without_text = (
                    record.data[key].get(Split.VALID.value, 0) for key in ("rows", "rows_without_text")
                )
                if (use := f"{USE} ({rows - without_text:,} rows)") not in record.data["gold_used"]:
                    record.data["gold_used"].append(use)
                    record.write(result.directory)
    study.tell(number, score, state=TrialState.FAIL if score is None else TrialState.COMPLETE)


def search_result(
    study: "Study", jobs: dict[tuple[str, ...], SweepJob], space: SearchSpace, n_trials: int
) -> SearchResult:
    """Return the scores of the trials that have ended.

    Args:
        study: The study.
        jobs: The jobs by their overrides.
        space: What is searched.
        n_trials: The number of trials that Optuna got a score of.

    """
    scores = {
        jobs[space.overrides(trial.params)].number: trial.value for trial in study.trials if trial.value is not None
    }
    if not scores:
        return SearchResult(n_trials=n_trials, scores={}, best=None, overrides=())
    best = max(scores, key=lambda number: scores[number])  # the first one of equal scores
    (overrides,) = (job.overrides for job in jobs.values() if job.number == best)
    return SearchResult(n_trials=n_trials, scores=scores, best=best, overrides=tuple(without_sweep_keys(overrides)))
