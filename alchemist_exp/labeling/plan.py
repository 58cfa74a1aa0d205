"""Cuts inputs into tasks. A task is what one worker labels at once, and writes one or more Parquet files.

- A file of at most `LARGE_BYTES`, unless `part_rows` is given, or one that is read whole (Excel, a list in JSON), is
  one task with one output: DIR/NAME.parquet.
- A larger Parquet file has a task for each run of row groups that together have at most `part_rows` rows (one row group
  if it alone has more). Each writes one part: DIR/NAME/part-00000.parquet.
- A larger CSV, TSV or JSONL file can only be read from its beginning, so it is one task, which writes a part of
  `part_rows` rows after another. So is each data file of a dataset of the Hub: DIR/SPLIT/part-00000-00000.parquet.

No list of finished tasks is stored. A part is finished if its file exists, because it appears by a rename, and if its
metadata say that it was made of the same rows, run and options; see `outputs`.
"""

import glob
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from alchemist_exp.core.errors import ConfigError, DataError
from alchemist_exp.data.hub_stream import PREFIX, find_hub_files
from alchemist_exp.data.readers import extension
from alchemist_exp.data.table_stream import row_group_sizes
from alchemist_exp.labeling.outputs import source_of
from alchemist_exp.labeling.sources import FileSource, HubSource, Source

LARGE_BYTES: Final = 64 * 2**20
"""A file with more bytes is written in parts."""

PART_ROWS: Final = 500_000
"""Rows of a part by default: one or two minutes for ten programs on one core."""

_READ_BY_ROWS: Final = (".csv", ".tsv", ".jsonl", ".ndjson")


@dataclass(frozen=True, kw_only=True)
class LabelingTask:
    """Rows that one worker labels at once.

    Attributes:
        source: What the rows are read from.
        base: The output without `.parquet`: DIR/NAME; of a large source the directory of its parts.
        n_bytes: The bytes of the input when it was listed, for the progress; 0 if not known.
        part_rows: The rows of each part if the task writes several; None if it writes one file.
        part: The number of the only part; None if the output is not a part.
        prefix: Is put before the number of a part.

    """

    source: Source
    base: Path
    n_bytes: int = 0
    part_rows: int | None = None
    part: int | None = None
    prefix: str = "part-"

    def output(self, number: int = 0) -> Path:
        """Return a file that the task writes.

        Args:
            number: Which of its parts, from 0.

        """
        if self.part is None and self.part_rows is None:
            return self.base.with_name(f"{self.base.name}.parquet")
        return self.base / f"{self.prefix}{(self.part or 0) + number:05d}.parquet"


def find_tasks(files: Sequence[str], out: Path, part_rows: int | None = None) -> list[LabelingTask]:
    """Return the tasks of the inputs that arguments name.

    Args:
        files: Files, which are written under their name; glob patterns, whose files are written under their path from
            the first directory of the pattern that has a wildcard (`**` stands for any number of directories); and
            datasets of the Hub (`hub_stream.FORM`), whose splits are written under their name.
        out: The output directory. Files in it that fit a pattern are left out: they are outputs.
        part_rows: The most rows of a part; a file of any size then has parts. None for `PART_ROWS` in large files.

    Returns:
        The tasks, sorted by output.

    Raises:
        ConfigError: A file does not exist, a pattern fits no file, or two inputs have the same output.
        DataError: The Hub cannot be reached, or does not have the dataset.

    """
    out = out.absolute()
    found: dict[Path, tuple[str, list[LabelingTask]]] = {}
    for text in files:
        for base, input_, tasks in _inputs(text, out, part_rows):
            other, _ = found.setdefault(base, (input_, tasks))
            if other != input_:
                raise ConfigError(
                    f"{other!r} and {input_!r} would both be written to '{base}.parquet'; rename one, or name both by "
                    "one quoted pattern such as 'DIR/**/*.parquet', which keeps directories."
                )
    tasks = [task for base in sorted(found) for task in found[base][1]]
    sources = {task.source.path.resolve() for task in tasks if isinstance(task.source, FileSource)}
    if clash := next((task.output() for task in tasks if task.output().resolve() in sources), None):
        raise ConfigError(f"{str(clash)!r} is a file that is read; name another directory by -o DIR.")
    return tasks


def is_pattern(text: str) -> bool:
    """Return whether an argument is a glob pattern: it has wildcards, and no file has this name."""
    return glob.has_magic(text) and not Path(text).exists()


def is_hub(text: str) -> bool:
    """Return whether an argument is a dataset of the Hub."""
    return text.startswith(PREFIX)


def remove_outdated(tasks: Sequence[LabelingTask]) -> None:
    """Remove outputs of an earlier state of the same inputs that no task will replace.

    A large input that became small, or the reverse, has another output, and one with fewer rows has fewer parts.

    Args:
        tasks: All tasks of a command.

    """
    names = {task.base: task.source.name for task in tasks}
    written = {task.output() for task in tasks if task.part_rows is None}
    # How many parts they have is not known before they are read.
    prefixes = {(task.base, task.prefix) for task in tasks if task.part_rows is not None}
    for base, name in names.items():
        for path in (base.with_name(f"{base.name}.parquet"), *base.glob("part-*.parquet")):
            is_written = path in written or any((base, path.name[: len(p)]) == (b, p) for b, p in prefixes)
            if not is_written and path.is_file() and source_of(path) == name:
                path.unlink(missing_ok=True)
        if base.is_dir():
            with suppress(OSError):  # it is not empty
                base.rmdir()


def _inputs(text: str, out: Path, part_rows: int | None) -> Iterator[tuple[Path, str, list[LabelingTask]]]:
    """Yield the base of the output, the name and the tasks of each input that an argument names."""
    if is_hub(text):
        splits: dict[str, list[LabelingTask]] = {}
        for file in find_hub_files(text):
            task = LabelingTask(
                source=HubSource(file=file),
                base=out / file.split,
                part_rows=part_rows or PART_ROWS,
                prefix=f"part-{file.number:05d}-",
            )
            splits.setdefault(file.split, []).append(task)
        for split, tasks in splits.items():
            yield out / split, f"{text.removesuffix(':')} {split}", tasks
        return
    for path, name in _matches(text, out):
        base = out / name.with_name(Path(name.name.removesuffix(".gz")).stem)
        yield base, str(path), _tasks_of(path, base, part_rows)


def _tasks_of(path: Path, base: Path, part_rows: int | None) -> list[LabelingTask]:
    n_bytes = path.stat().st_size
    whole = LabelingTask(source=FileSource(path=path), base=base, n_bytes=n_bytes)
    if part_rows is None and n_bytes <= LARGE_BYTES:
        return [whole]
    part_rows = part_rows or PART_ROWS
    if extension(path).removesuffix(".gz") in _READ_BY_ROWS:
        return [LabelingTask(source=whole.source, base=base, n_bytes=n_bytes, part_rows=part_rows)]
    if extension(path) != ".parquet":
        return [whole]
    try:
        sizes = row_group_sizes(path)
    except DataError:
        return [whole]  # the task says what is wrong
    n_rows = max(sum(sizes), 1)
    return [
        LabelingTask(
            source=FileSource(path=path, row_groups=(first, stop)),
            base=base,
            n_bytes=n_bytes * sum(sizes[first:stop]) // n_rows,
            part=number,
        )
        for number, (first, stop) in enumerate(_runs(sizes, part_rows))
    ]


def _runs(sizes: Sequence[int], limit: int) -> list[tuple[int, int]]:
    """Return runs of numbers with a sum of at most a limit, as the first and the one after the last.

    Example:
        >>> _runs([3, 3, 9, 1, 1, 1], 6)
        [(0, 2), (2, 3), (3, 6)]

    """
    runs: list[tuple[int, int]] = []
    total = 0
    for at, size in enumerate(sizes):
        if runs and total + size <= limit:
            runs[-1], total = (runs[-1][0], at + 1), total + size
        else:
            runs.append((at, at + 1))
            total = size
    return runs


def _matches(text: str, out: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files that an argument names, with their path in the output directory."""
    if not is_pattern(text):
        path = Path(text).absolute()
        if not path.is_file():
            hint = f"; name its files by a quoted pattern, such as '{text}/*.parquet'" if path.is_dir() else ""
            raise ConfigError(f"{text!r} is not a file{hint}.")
        yield path, Path(path.name)
        return
    parts = Path(text).absolute().parts
    n_fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:n_fixed])
    n_files = 0
    # Path.glob finds hidden files, among them the temporary files of writers.
    for name in sorted(glob.glob(str(Path(*parts[n_fixed:])), root_dir=base, recursive=True)):  # noqa: PTH207
        path = base / name
        if path.is_file() and not path.is_relative_to(out):
            n_files += 1
            yield path, Path(name)
    if not n_files:
        raise ConfigError(f"no file fits {text!r}.")
