"""The Dask engine writes what the local engine writes, and a worker that is killed loses no file."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import dask
import dask_jobqueue  # noqa: F401  # reads the defaults of its configuration
import pandas as pd
import pytest

from alchemist_exp.core.errors import AlchemistError, ConfigError
from alchemist_exp.labeling import plan
from alchemist_exp.labeling.dask_engine import ClusterOptions, connect, label_with_dask, slurm_job
from alchemist_exp.labeling.local_engine import TaskStatus, label_locally
from alchemist_exp.labeling.plan import find_tasks
from tests.labeling.test_apply_files import TEXTS, job_of
from tests.support.commands import apply_lines

Capture = pytest.CaptureFixture[str]

N_SLURM_ROWS = 20_000


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [str(tmp_path / f"{number}.csv") for number in range(6)]
    for path in paths:
        table = pd.DataFrame({"text": [f"{text} {row} {path[-5]}" for row in range(400) for text in TEXTS]})
        table.to_csv(path, index=False)
    return paths


def test_a_killed_worker_loses_nothing_and_files_equal_those_of_the_local_engine(
    finished: Path, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(files[5]).write_text("a,b\n1,2\n")
    # Large inputs: a task for each run of row groups of a Parquet file; a task of a CSV file writes two parts.
    monkeypatch.setattr(plan, "LARGE_BYTES", 0)
    pd.read_csv(files[0], keep_default_na=False).to_parquet(tmp_path / "0.parquet", row_group_size=500)
    files[0] = str(tmp_path / "0.parquet")
    out, expected = tmp_path / "dask", tmp_path / "local"
    job, found = job_of(finished, out), find_tasks(files, out, 1000)
    assert len(found) == 2 + 5
    killed: list[int] = []

    def kill(address: str) -> None:
        """End the only worker as soon as it has written a file."""
        with connect(ClusterOptions(cluster=address)) as client:
            deadline = time.monotonic() + 60
            while not list(out.rglob("*.parquet")) and time.monotonic() < deadline:
                time.sleep(0.005)
            killed.extend(client.run(os.getpid).values())
            os.kill(killed[0], signal.SIGKILL)

    with connect(ClusterOptions(n_workers=1)) as client:
        address = client.scheduler.address
        assert address.startswith("tcp://127.0.0.1:")
        thread = threading.Thread(target=kill, args=(address,))
        thread.start()
        results = list(label_with_dask(job, found, ClusterOptions(cluster=address), force=False))
        thread.join()
        survivor = next(iter(client.run(os.getpid).values()))
    assert killed != [survivor]
    by_output = {result.task.output().relative_to(out): result for result in results}
    assert by_output.pop(Path("5/part-00000.parquet")).status is TaskStatus.BAD
    # The file may have been finished by the worker that was killed before it could say so.
    assert {result.status for result in by_output.values()} <= {TaskStatus.WRITTEN, TaskStatus.FOUND}
    local = label_locally(
        job_of(finished, expected),
        find_tasks(files[:5], expected, 1000),
        force=False,
        advance=lambda _rows, _bytes: None,
    )
    for result in local:
        assert by_output.pop(result.task.output().relative_to(expected)).summary == result.summary
    assert not by_output
    for number in range(5):
        found_labels = pd.read_parquet(out / str(number))
        assert len(found_labels) == 1600
        pd.testing.assert_frame_equal(found_labels, pd.read_parquet(expected / str(number)))
    # Nothing is left to label, so that no cluster is started.
    good = find_tasks(files[:5], out, 1000)
    again = list(label_with_dask(job, good, ClusterOptions(cluster="127.0.0.1:1"), force=False))
    assert [result.status for result in again] == [TaskStatus.FOUND] * 6


@pytest.mark.slurm
def test_two_slurm_jobs_label_as_one_process_does_and_a_killed_one_loses_nothing(
    finished: Path, slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm))
    monkeypatch.setattr(plan, "LARGE_BYTES", 0)
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"text": [f"{text} {row}" for row in range(N_SLURM_ROWS // 4) for text in TEXTS]})
    table.to_parquet("rows.parquet", row_group_size=N_SLURM_ROWS // 5)
    out = tmp_path / "slurm"
    tasks = find_tasks(["rows.parquet"], out, N_SLURM_ROWS // 5)
    with (
        dask.config.set({"jobqueue.slurm.interface": "lo"}),
        connect(
            ClusterOptions(cluster="slurm", n_workers=2, walltime="00:10:00", memory="1GB"), logs=tmp_path / "logs"
        ) as client,
    ):
        client.wait_for_workers(2, timeout=120)
        first, second = client.run(lambda: (os.environ["SLURM_JOB_ID"], os.getpid(), os.getppid())).values()
        assert first[0] != second[0]

        def kill() -> None:
            """End a worker, and the process that would start it again, as soon as a part is written."""
            deadline = time.monotonic() + 120
            while not list(out.rglob("*.parquet")) and time.monotonic() < deadline:
                time.sleep(0.005)
            for pid in reversed(first[1:]):
                os.kill(pid, signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        address = ClusterOptions(cluster=client.scheduler.address)
        results = list(label_with_dask(job_of(finished, out), tasks, address, force=False))
        thread.join()
    assert len(results) == 5
    assert {result.status for result in results} <= {TaskStatus.WRITTEN, TaskStatus.FOUND}
    expected = tmp_path / "local"
    here = find_tasks(["rows.parquet"], expected, N_SLURM_ROWS // 5)
    list(label_locally(job_of(finished, expected), here, force=False, advance=lambda _rows, _bytes: None))
    found = pd.read_parquet(out / "rows")
    assert len(found) == N_SLURM_ROWS
    pd.testing.assert_frame_equal(found, pd.read_parquet(expected / "rows"))
    assert len(list((tmp_path / "logs").iterdir())) >= 2
    queued = subprocess.run(["squeue", "--noheader"], capture_output=True, text=True, check=True)
    assert queued.stdout.count("dask-worker") == 0


def test_slurm_jobs_stop_before_their_time_limit() -> None:
    script = slurm_job(ClusterOptions(cluster="slurm", walltime="02:00:00"), "tcp://127.0.0.1:1").job_script()
    assert "#SBATCH -t 02:00:00" in script
    assert "#SBATCH --mem=4G" in script
    assert "--lifetime 6900s --lifetime-stagger 150s" in script
    assert ClusterOptions(walltime="1-00:00:00").lifetime_s() == (86_400 - 300, 150)
    assert ClusterOptions(walltime="00:10:00").lifetime_s() == (540, 30)
    for options, message in (
        ({"walltime": "10"}, "invalid --walltime '10'; expected HH:MM:SS or D-HH:MM:SS"),
        ({"walltime": "00:00:10"}, "one minute or more"),
        ({"memory": "4"}, "invalid --memory '4'"),
    ):
        with pytest.raises(ConfigError, match=message):
            ClusterOptions(**options)


def test_options_that_do_not_fit_are_refused(
    finished: Path, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("alchemist_exp.labeling.dask_engine.CONNECT_S", 0.2)
    out = str(tmp_path / "out")
    for arguments, message in (
        ([*files, "-o", out, "--workers", "2"], "--workers is for --engine dask"),
        ([*files, "-o", out, "--engine", "dask", "--memory", "1GB"], "--memory is for --cluster slurm"),
        ([*files, "-o", out, "--engine", "dask", "--cluster", "a:1", "--workers", "1"], "--workers is for --cluster"),
        ([files[0], "--engine", "dask"], "--engine is for labels in a directory"),
        ([*files, "-o", out, "--engine", "dask", "--cluster", "127.0.0.1:1"], "'127.0.0.1:1' cannot be reached"),
    ):
        assert apply_lines(monkeypatch, "", str(finished), *arguments) == 1
        assert message in capsys.readouterr().err


def test_an_error_of_the_run_ends_the_command(finished: Path, files: list[str], tmp_path: Path) -> None:
    job = job_of(finished, tmp_path / "out")
    other = type(job)(**{**vars(job), "code": "other"})
    tasks = find_tasks(files[:1], tmp_path / "out")
    with pytest.raises(AlchemistError, match="a worker has another version of this package"):
        list(label_with_dask(other, tasks, ClusterOptions(n_workers=1), force=False))
