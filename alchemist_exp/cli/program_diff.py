"""The comparison of two runs by their records and files: programs, labels of rows, and scores."""

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from alchemist_exp.cli.run_directory import find_run
from alchemist_exp.core.terminal import escape_controls, sanitize
from alchemist_exp.core.types import Split
from alchemist_exp.programs.files import file_names, split_header
from alchemist_exp.programs.types import Program
from alchemist_exp.results.layout import new_console, new_table, number_text
from alchemist_exp.results.record import RunRecord, Section, read_finished
from alchemist_exp.results.report import UNKNOWN

if TYPE_CHECKING:
    from alchemist_exp.cli.diffed_labels import DiffedLabels

SHOWN_FLIPS = 6
"""Kinds of changed labels that are named for a split."""

SHOWN_ROWS = 20

SHOWN_CHARS = 100
"""Rows with another label that are shown, and the characters of each."""


@dataclass(frozen=True, kw_only=True)
class DiffedRun:
    """A finished run.

    Attributes:
        directory: Where it is.
        record: Its record.
        programs: The record's entries of the programs that voted.

    """

    directory: Path
    record: RunRecord
    programs: Sequence[Section]


def read_run(outputs: Path, name: str) -> DiffedRun:
    """Return the finished run with that key, first digits of a key, or directory.

    Args:
        outputs: The directory of outputs.
        name: The key, its first digits, or a directory.

    """
    directory = find_run(outputs, name)
    record = read_finished(directory, "compare finished runs")
    return DiffedRun(directory=directory, record=record, programs=record.programs["list"])


def show_diff(before: DiffedRun, after: DiffedRun, *, source: bool) -> bool:
    """Print the comparison of two runs.

    Args:
        before: The run A.
        after: The run B.
        source: Whether the lines that changed are shown too.

    Returns:
        Whether a row has another weak label; False for runs on different data, whose rows cannot be compared.

    Raises:
        StoreError: Labels cannot be read.

    """
    from alchemist_exp.cli.diffed_labels import read_diffed_labels
    from alchemist_exp.results.run_names import run_name
    from alchemist_exp.results.runs import members_of

    console = new_console()
    for name, run in (("A", before), ("B", after)):
        shown = sanitize(run_name(members_of(run.record)))
        head = Text.assemble((f"{name}  ", "bold cyan"), (run.record.run_key[:12], "bold"), f"  {shown}")
        console.print(head)
    same_data = before.record.data["fingerprint"] == after.record.data["fingerprint"]
    labels = read_diffed_labels(before.directory, after.directory) if same_data else None
    parts = [*_programs(before, after), Text("\nRows with another label", style="bold cyan")]
    if labels is None:
        parts.append(Text("the runs used different data, so rows cannot be compared", style="yellow"))
    else:
        parts += [_flips(before, labels), *_flipped_rows(after, labels)]
    for part in (*parts, *_scores(before, after)):
        console.print(part)
    if source:
        console.print(Text(escape_controls("".join(_sources(before, after)))))
    return labels is not None and bool(labels.flipped)


def _programs(before: DiffedRun, after: DiffedRun) -> Iterator[Text | Table]:
    table = new_table("", "A", "B", "coverage", "micro F1" if before.record.multi_label else "accuracy", "")
    counts: Counter[str] = Counter()
    for old, new in _pairs(before, after):
        kind = "only in B" if old is None else "only in A" if new is None else "changed" * (old["id"] != new["id"])
        counts[kind or "the same"] += 1
        if kind:
            there = next(program for program in (old, new) if program is not None)
            ids = [sanitize(str(program["id"])) if program else UNKNOWN for program in (old, new)]
            lost = _why_absent(there, after) if new is None else _why_absent(there, before) if old is None else ""
            steps = (
                " to ".join(number_text(program[key]) for program in (old, new) if program is not None)
                for key in ("coverage", "accuracy")
            )
            table.add_row(sanitize(_file(there)), *ids, *steps, f"{kind}{lost}")
    yield Text(f"\nPrograms  {', '.join(f'{count} {kind}' for kind, count in counts.items())}", style="bold cyan")
    if table.row_count:
        yield table


def _why_absent(program: Section, other: DiffedRun) -> str:
    """Return why a program does not vote in the other run, if that run's record says so."""
    if program["id"] in [accepted["id"] for accepted in other.record.programs["not_selected"]]:
        return ", not selected in the other"
    for rejected in other.record.programs["rejected"]:
        if program["id"] in (rejected["id"], rejected.get("parent_id")) or _label(rejected) == _label(program):
            return f", rejected in the other: {sanitize(rejected['reason'])}"
    return ""


def _pairs(before: DiffedRun, after: DiffedRun) -> Iterator[tuple[Section | None, Section | None]]:
    """Yield pairs of programs: equal ones first, then those edited from each other, then those of one name."""
    old, new = list(before.programs), list(after.programs)
    fits: tuple[Callable[[Section, Section], bool], ...] = (
        lambda a, b: a["id"] == b["id"] and _label(a) == _label(b),
        lambda a, b: bool(a["id"] == b["id"]),
        lambda a, b: a["id"] == b.get("parent_id") or b["id"] == a.get("parent_id"),
        lambda a, b: _label(a) == _label(b),
    )
    found: dict[int, Section] = {}
    for fit in fits:
        for program in old:
            twin = next((b for b in new if fit(program, b)), None) if id(program) not in found else None
            if twin is not None:
                found[id(program)] = twin
                new = [b for b in new if b is not twin]
    yield from ((program, found.get(id(program))) for program in old)
    yield from ((None, program) for program in new)


def _flips(before: DiffedRun, labels: "DiffedLabels") -> Table:
    """Return the changed labels of each split, with the most frequent kinds of change."""
    table = new_table("", "weak label", "of rows", "", "distilled", "of rows", "")
    for split in before.record.data["rows"]:
        cells = []
        for column in ("weak_label", "predicted"):
            changes = zip(labels.before["split"], labels.before[column], labels.after[column], strict=True)
            pairs = Counter((a, b) for s, a, b in changes if s == split and a != b)
            share = sum(pairs.values()) / before.record.data["rows"][split]
            kinds = ", ".join(
                f"{n:,} {' to '.join('none' if name is None else sanitize(name) for name in pair)}"
                for pair, n in pairs.most_common(SHOWN_FLIPS)
            )
            cells += [f"{sum(pairs.values()):,}", f"{share:.1%}", kinds]
        table.add_row(split, *cells)
    return table


def _flipped_rows(after: DiffedRun, labels: "DiffedLabels") -> Iterator[Text | Table]:
    """Yield the first rows with another weak label; `alchemist explain` shows why."""
    if not (flipped := labels.flipped):
        return
    from alchemist_exp.cli.diffed_labels import read_content
    from alchemist_exp.data.kinds import load_kind
    from alchemist_exp.labeling.review import stored_columns

    # A run without an end model has no directory of a model.
    places = (after.directory / "model", after.directory / "label_model")
    names = stored_columns(load_kind(next(filter(Path.is_dir, places), places[0])))
    table = new_table("", "row", "A", "B", "gold")
    table.add_column("text", overflow="fold")
    shown = flipped[:SHOWN_ROWS]
    new = labels.after
    for i, content in zip(shown, read_content(after.directory, [*names.values()], shown), strict=True):
        cells = (
            UNKNOWN if name is None else sanitize(name)
            for name in (labels.before["weak_label"][i], new["weak_label"][i], new["gold"][i])
        )
        text = "; ".join(str(value) for value in content.values() if value is not None)
        table.add_row(sanitize(str(new["split"][i])), str(new["row"][i]), *cells, sanitize(text)[:SHOWN_CHARS])
    yield Text(f"\nRows with another weak label  {len(shown):,} of {len(flipped):,} rows", style="bold cyan")
    yield table


def _scores(before: DiffedRun, after: DiffedRun) -> Iterator[Text | Table]:
    metric = "f1" if before.record.multi_label or before.record.data["metric"] == "f1" else "accuracy"
    table = new_table("", "micro F1" if before.record.multi_label else metric, "", "macro F1", "")
    for split in Split:
        for what, section in (("label model", "label_model"), ("distilled", "end_model")):
            cells: list[str] = []
            for name in (metric, "macro_f1"):
                sections = [getattr(run.record, section)["metrics"] for run in (before, after)]
                scores = [(metrics.get(split) or {}).get(name) for metrics in sections]
                # The distilled model has the mean over seeds.
                old, new = (score["mean"] if isinstance(score, Mapping) else score for score in scores)
                cells.append(f"{number_text(old)} to {number_text(new)}")
                cells.append("" if old is None or new is None else f"{new - old:+.3f}")
            if any(cell not in ("", f"{UNKNOWN} to {UNKNOWN}") for cell in cells):
                table.add_row(f"{what}, {split}", *cells)
    other = before.record.data["fingerprint"] != after.record.data["fingerprint"]
    if table.row_count:
        yield Text(f"\nScores  A to B{', on different data' if other else ''}", style="bold cyan")
        yield table
    else:
        yield Text("\nno scores: the data has no gold labels", style="dim")


def _sources(before: DiffedRun, after: DiffedRun) -> Iterator[str]:
    """Yield unified diffs of the programs that both runs have and that differ."""
    changed = [(a, b) for a, b in _pairs(before, after) if a is not None and b is not None and a["id"] != b["id"]]
    if not changed:
        yield "\nno program has changed\n"
    for old, new in changed:
        yield "\n"
        lines = _lines(before, old), _lines(after, new)
        names = f"A: {_file(old)}", f"B: {_file(new)}"
        if not all(lines):
            changed_name = names[0 if not lines[0] else 1]
            yield f"{changed_name}: its file was changed or removed after the run, so the lines are not known\n"
            continue
        yield from difflib.unified_diff(lines[0], lines[1], *names)


def _lines(run: DiffedRun, program: Section) -> list[str]:
    """Return the lines of the program's file without the header; none when the file was removed or changed."""
    for file in sorted((run.directory / "programs").glob("*.py")):
        _, source = split_header(file.read_text(encoding="utf-8", errors="replace"))
        if Program(source=source, origin=file.name).id == program["id"]:
            return [f"{line}\n" for line in source.split("\n")]
    return []


def _label(program: Section) -> str:
    """Return strategy and sample, without the version; a file's name; a human-crafted function's number."""
    provenance = program.get("provenance")
    return f"{provenance['strategy']} {provenance['sample']}" if provenance else program["origin"]


def _file(program: Section) -> str:
    """Return the name by which a program is shown: that of its file, because an edited program has no other."""
    return str(program.get("file") or file_names([_label(program)])[0])
