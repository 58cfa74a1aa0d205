"""The functions of the public API: run an experiment, label rows with it, make one component, read a record.

Import them from `alchemist_exp`. They do what the command line does, and raise errors instead of ending the process.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from alchemist_exp import config
from alchemist_exp.config_checks import check_interpolated_overrides
from alchemist_exp.config_errors import explanation
from alchemist_exp.core.errors import AlchemistError, ConfigError, StoreError, unknown_name
from alchemist_exp.core.progress import NoProgress, Progress
from alchemist_exp.labeling.components import SANDBOXES, Consent
from alchemist_exp.labeling.frames import label_frame
from alchemist_exp.labeling.labelers import make_labeler
from alchemist_exp.labeling.run_files import open_run
from alchemist_exp.pipeline.experiment import Experiment
from alchemist_exp.pipeline.run import RunResult
from alchemist_exp.pipeline.run import run as run_experiment
from alchemist_exp.registry import base_classes
from alchemist_exp.results.record import RunRecord, run_in

if TYPE_CHECKING:
    import pandas as pd


def run(
    overrides: Sequence[str] = (), *, config_dir: str | Path | None = None, progress: Progress | None = None
) -> RunResult:
    """Compose, check and run one experiment, as `alchemist run` does.

    Args:
        overrides: Hydra overrides such as "dataset=sms" and "label_model=majority". A sweep is a loop over calls.
        config_dir: A directory with your YAML files and Python modules, as with --config-dir.
        progress: Shows the stages while they run. By default nothing is shown.

    Returns:
        The record of the run, its directory, and whether it was found finished instead of made.

    Raises:
        AlchemistError: The configuration is invalid or the run cannot be completed; the message says how to fix it.

    """
    if isinstance(overrides, str) or any(override.startswith("-") for override in overrides):
        raise ConfigError(
            f"overrides is {overrides!r}; give a list of KEY=VALUE texts without options of the command line, and loop "
            "over calls for a sweep."
        )
    experiment, container = compose_experiment(overrides, config_dir)
    # As on the command line, what concerns Hydra alone is no part of the record.
    task = [override for override in overrides if not override.lstrip("+~").startswith(("hydra.", "hydra/"))]
    return run_experiment(experiment, container, task, progress or NoProgress())


def apply(
    run: RunResult | str | Path,
    rows: "pd.DataFrame | Iterable[Any]",
    *,
    with_: str = "model",
    text: str | None = None,
    sandbox: str = "auto",
    config_dir: str | Path | None = None,
    weights: Sequence[str | Path] = (),
    allow_modules: Sequence[str] = (),
) -> "pd.DataFrame":
    """Label rows with a finished run, as `alchemist apply` does; files of any size are for the command.

    The model or the label model is loaded in each call, so label many rows in one call.

    Args:
        run: The result of `run`, or the directory of a run, which may be from another person.
        rows: Texts, paths of images, or mappings with the columns of a run on records; or a pandas frame with a column
            of texts or paths, or with these columns.
        with_: "model" labels with the distilled model, "programs" with the programs of the run in the sandbox and the
            label model that was fitted on their votes.
        text: The column of the texts or paths in a frame. By default that of the run.
        sandbox: The mode of the sandbox on this machine: "auto", "seccomp", "bwrap" or "none".
        config_dir: A directory with the code of your own components, which is run.
        weights: Files or directories outside of the run that an encoder may read.
        allow_modules: Modules that programs may import, besides those that are allowed by default.

    Returns:
        A frame with the index of `rows`: their columns, then label, confidence and p(CLASS) for each class, and with
        programs a column "vote PROGRAM" for each. A row without content or, with programs, without a vote has no
        label. A column of the rows with such a name gets the prefix input_.

    Raises:
        AlchemistError: The run cannot be used, or the rows are not what it labels; the message says how to fix it.

    Warns:
        UserWarning: A program did not finish, or code of the run has changed since.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as outputs:
        ...     trained = run(["+experiment=tiny", "seed=s0", "logger=none", f"paths.outputs={outputs}"])
        ...     labels = apply(trained, ["Check out my channel", "I love this song", ""], with_="programs")
        >>> labels[["text", "label"]].fillna("none").values.tolist()
        [['Check out my channel', 'spam'], ['I love this song', 'ham'], ['', 'none']]
        >>> labels.columns[:5].tolist()
        ['text', 'label', 'confidence', 'p(ham)', 'p(spam)']

    """
    if not isinstance(run, RunResult | str | Path):
        raise ConfigError(f"run is a {type(run).__name__}; expected the result of run(), or the directory of a run.")
    if not isinstance(rows, Iterable):
        raise ConfigError(f"rows is a {type(rows).__name__}; expected a list, or a pandas frame.")
    if with_ not in ("model", "programs"):
        raise ConfigError(unknown_name("with_", str(with_), ("model", "programs")))
    if sandbox not in SANDBOXES:
        raise ConfigError(unknown_name("sandbox", sandbox, SANDBOXES))
    consent = Consent(
        config_dir=None if config_dir is None else Path(config_dir),
        weights=tuple(map(Path, weights)),
        modules=tuple(allow_modules),
    )
    directory = run.directory if isinstance(run, RunResult) else Path(run)
    stored = open_run((run_in(directory) or directory).absolute())
    labeler = make_labeler(stored, with_, consent, sandbox)
    labeled, summary = label_frame(stored, labeler, rows, text)
    for note in labeler.notes:
        warnings.warn(note, stacklevel=2)
    for name, (_, reason) in summary.failures.items():
        warnings.warn(f"the program {name!r} did not finish and abstains on some rows ({reason})", stacklevel=2)
    return labeled


def compose_experiment(
    overrides: Sequence[str], config_dir: str | Path | None = None
) -> tuple[Experiment, dict[str, Any]]:
    """Compose and check an experiment without running it.

    Args:
        overrides: As in `run`.
        config_dir: As in `run`.

    Returns:
        The experiment and its resolved configuration, for the record.

    Raises:
        ConfigError: The configuration is invalid.

    """
    with _explained():
        composed = config.compose(overrides, config_dir)
        check_interpolated_overrides(composed, overrides)
        return config.build(composed), config.to_container(composed)


def load_component(choice: str, /, *, config_dir: str | Path | None = None, **values: Any) -> Any:
    """Make one member of a configuration group with the values of its YAML file.

    Args:
        choice: The group and its member, for example "label_model=dawid_skene".
        config_dir: A directory with your YAML files and Python modules, as with --config-dir.
        values: Values by key that replace those of the YAML file.

    Returns:
        The working object, an instance of the group's base class.

    Raises:
        ConfigError: The member or a key is unknown, or a value is missing or invalid.

    Example:
        >>> load_component("label_model=dawid_skene", smoothing=0.5).smoothing
        0.5

    """
    group, separator, member = choice.partition("=")
    if not separator or not member:
        raise ConfigError(f"{choice!r} names no member; write GROUP=MEMBER, as in label_model=dawid_skene.")
    if group not in base_classes():
        raise ConfigError(unknown_name("the group", group, base_classes()))
    with _explained():
        composed = config.compose([choice], config_dir)
        node = composed[group]
        if not isinstance(node, DictConfig):
            raise ConfigError(f"{choice!r} names no member; write GROUP=MEMBER, as in label_model=dawid_skene.")
        for key, value in values.items():
            if key not in list(node):  # `in node` is false for a key without a value
                raise ConfigError(f"{choice}: {unknown_name('the key', key, map(str, node))}")
            OmegaConf.update(node, key, value)
        return config.build_component(composed, group)


def read_record(directory: str | Path) -> RunRecord:
    """Read the record of a run.

    Args:
        directory: The directory of the run, outputs/runs/<key>.

    Returns:
        The record.

    Raises:
        StoreError: There is no record, or it is broken.

    """
    record = RunRecord.read(Path(directory))
    if record is None:
        raise StoreError(f"{directory} has no record of a run; name a directory under outputs/runs.")
    return record


@contextmanager
def _explained() -> Iterator[None]:
    """Turn the errors of Hydra and OmegaConf into a ConfigError of one sentence."""
    try:
        yield
    except AlchemistError:
        raise
    except Exception as error:
        if (text := explanation(error)) is None:
            raise
        raise ConfigError(text) from error
