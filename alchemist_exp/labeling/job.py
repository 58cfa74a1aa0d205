"""What the tasks of one command have in common, and the labeler that each process makes of it."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from alchemist_exp.core.errors import ConfigError
from alchemist_exp.core.hashing import code_fingerprint
from alchemist_exp.labeling.components import Consent
from alchemist_exp.labeling.labelers import make_labeler
from alchemist_exp.labeling.row_labeler import RowLabeler
from alchemist_exp.labeling.run_files import StoredRun, check_run_files, stored_run
from alchemist_exp.labeling.sources import Source
from alchemist_exp.results.record import RunRecord

VERSION: Final = 1
"""The version of the metadata of outputs."""


@dataclass(frozen=True, kw_only=True)
class LabelingJob:
    """What all tasks have in common; any process makes a labeler of it, so no model is sent to another process.

    Attributes:
        run: The directory of the run, as an absolute path.
        out: The output directory, as an absolute path.
        run_key: The key of the run.
        started_at: When the run began: a run that was repeated with `force=true` has the same key.
        using: "model" or "programs".
        config_dir: See `Consent`.
        weights: See `Consent`.
        modules: See `Consent`.
        sandbox: The mode of the sandbox.
        sandbox_workers: Programs that run at once in each process; None for as many as there are CPU cores.
        text: The column that the user names; None for that of the run.
        encoding: The encoding of the inputs; None for UTF-8.
        keep: The columns of the inputs that are written; None for all.
        code: A key of this package's source code, which is the same in each process.

    """

    run: Path
    out: Path
    run_key: str
    started_at: str
    using: str = "model"
    config_dir: Path | None = None
    weights: tuple[Path, ...] = ()
    modules: tuple[str, ...] = ()
    sandbox: str = "auto"
    sandbox_workers: int | None = None
    text: str | None = None
    encoding: str | None = None
    keep: tuple[str, ...] | None = None
    code: str = ""

    def identity(self, source: Source) -> dict[str, Any]:
        """Return what an output is made of, as JSON.

        Args:
            source: The source of its rows.

        Raises:
            OSError: The source cannot be read.

        """
        return {
            "version": VERSION,
            "source": source.identity(),
            "run": self.run_key,
            "run_started_at": self.started_at,
            "with": self.using,
            "text": self.text,
            "encoding": self.encoding,
            "keep": None if self.keep is None else list(self.keep),
        }


_LABELERS: dict[LabelingJob, tuple[StoredRun, RowLabeler]] = {}
"""The labeler of the last job of this process."""

_MAKING = threading.Lock()
"""A worker of Dask may have several threads."""


def labeler_of(job: LabelingJob) -> tuple[StoredRun, RowLabeler]:
    """Return the run and the labeler of a job; a process makes them once.

    Args:
        job: The job.

    Returns:
        The run, after a check of its files, and the labeler.

    Raises:
        AlchemistError: The run cannot be used, or this process has other source code than the one that made the job.

    """
    with _MAKING:
        if job in _LABELERS:
            return _LABELERS[job]
        if job.code != code_fingerprint():
            raise ConfigError("a worker has another version of this package; install the same version on each node.")
        check_run_files(job.run)
        record = RunRecord.read(job.run)
        if record is None or (record.run_key, record.started_at) != (job.run_key, job.started_at):
            raise ConfigError(f"{job.run} is another run than at the start; start the command again.")
        run = stored_run(job.run, record)
        consent = Consent(config_dir=job.config_dir, weights=job.weights, modules=job.modules)
        labeler = make_labeler(run, job.using, consent, job.sandbox, job.sandbox_workers)
        _LABELERS.clear()
        _LABELERS[job] = (run, labeler)
        return run, labeler
