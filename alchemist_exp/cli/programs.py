"""`alchemist programs diff A B`: what another set of programs changed, from the records and files of two runs."""

import argparse
import difflib
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from alchemist_exp.cli.arguments import Parser
from alchemist_exp.core.errors import StoreError
from alchemist_exp.core.exit_codes import clean_exit, print_error, user_error_text
from alchemist_exp.core.terminal import escape_controls, sanitize
from alchemist_exp.core.types import Split
from alchemist_exp.programs.files import split_header
from alchemist_exp.results.record import RunRecord, RunStatus, Section

SHOWN_FLIPS = 6
"""Kinds of flips that are named for a split."""


def main(arguments: Sequence[str]) -> int:
    """Runs `alchemist programs` with `arguments`. The exit code; errors end the process."""
    with clean_exit(_show_error):
        chosen = _parser().parse_args(arguments)
        before, after = (_run(chosen.outputs, name) for name in (chosen.a, chosen.b))
        console = Console(markup=False, emoji=False, highlight=False)
        if not console.is_terminal:
            console.width = 1000
        for part in (
            *_heads(before, after),
            *_programs(before, after),
            *_flips(before, after),
            *_scores(before, after),
        ):
            console.print(part)
        if chosen.source:
            console.print(Text(escape_controls("".join(_sources(before, after)))))
        return 0
    raise AssertionError("clean_exit ends the process after an error")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="alchemist programs", description="Compares the programs of runs.")
    commands = parser.add_subparsers(required=True, metavar="diff A B")
    diff = commands.add_parser(
        "diff",
        help="which programs changed, which rows flipped, scores before and after",
        prog="alchemist programs diff",
    )
    for name in ("a", "b"):
        diff.add_argument(name, metavar=name.upper(), help="a run: its key, the beginning of it, or its folder")
    diff.add_argument("--outputs", type=Path, default=Path("outputs"), help="the runs' folder (outputs)")
    diff.add_argument("--source", action="store_true", help="show the lines that changed, too")
    return parser


def _show_error(error: Exception) -> None:
    if text := user_error_text(error):
        print_error(text)
    else:
        traceback.print_exception(error)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run. programs: those that voted."""

    folder: Path
    record: RunRecord
    programs: Sequence[Section]


def _run(outputs: Path, name: str) -> Run:
    """The run of that name. StoreError when there is none, several, or it has not finished."""
    folder = Path(name)
    if not (folder / "record.json").is_file():
        runs = outputs / "runs"
        fitting = sorted(path.parent for path in runs.glob("*/record.json") if path.parent.name.startswith(name))
        if len(fitting) != 1:
            found = f"{len(fitting)} runs begin with" if fitting else "there is no run"
            raise StoreError(
                f"{found} {name!r} under {runs}; name a run's folder or enough of "
                "its key, and the runs' folder by --outputs DIR."
            )
        (folder,) = fitting
    record = RunRecord.read(folder)
    if record is None or record.status is not RunStatus.FINISHED:
        status = "has no record" if record is None else f"has {record.status}, not finished"
        raise StoreError(f"the run {folder} {status}; compare finished runs.")
    return Run(folder=folder, record=record, programs=record.programs["list"])


def _asked_for(program: Section) -> str:
    """Strategy and sample, whatever the version; a file's name; a human-crafted function's number."""
    provenance = program.get("provenance")
    return f"{provenance['strategy']} {provenance['sample']}" if provenance else program["origin"]


def _heads(before: Run, after: Run) -> Iterator[Text]:
    for name, run in (("A", before), ("B", after)):
        config = run.record.config
        groups = ("dataset", "method", "llm", "supplement", "label_model")
        chosen = "  ·  ".join(sanitize(str(config[group]["name"])) for group in groups if group in config)
        yield Text.assemble((f"{name}  ", "bold cyan"), (run.record.run_key[:12], "bold"), f"  {chosen}")


def _programs(before: Run, after: Run) -> Iterator[Text | Table]:
    table = _table("", "A", "B", "coverage", "accuracy", "")
    counts: Counter[str] = Counter()
    for old, new in _pairs(before, after):
        kind = "only in B" if old is None else "only in A" if new is None else "changed" * (old["id"] != new["id"])
        counts[kind or "the same"] += 1
        if kind:
            there = next(program for program in (old, new) if program is not None)
            ids = [sanitize(str(program["id"])) if program else "-" for program in (old, new)]
            lost = _lost(there, after) if new is None else _lost(there, before) if old is None else ""
            steps = _step(old, new, "coverage"), _step(old, new, "accuracy")
            table.add_row(sanitize(_asked_for(there)), *ids, *steps, f"{kind}{lost}")
    yield Text(f"\nPrograms  {', '.join(f'{count} {kind}' for kind, count in counts.items())}", style="bold cyan")
    if table.row_count:
        yield table


def _lost(program: Section, other: Run) -> str:
    """Why a program does not vote in the other run, where that run knows it."""
    for program_left_out in other.record.programs["not_selected"]:
        if program_left_out["id"] == program["id"]:
            return ", not chosen in the other"
    for rejected in other.record.programs["rejected"]:
        if program["id"] in (rejected["id"], rejected.get("parent_id")) or _asked_for(rejected) == _asked_for(program):
            return f", rejected in the other: {sanitize(rejected['reason'])}"
    return ""


def _pairs(before: Run, after: Run) -> Iterator[tuple[Section | None, Section | None]]:
    """Programs laid side by side: the same ones first, then those made from each other, then those of one name."""
    old, new = list(before.programs), list(after.programs)
    fits: tuple[Callable[[Section, Section], bool], ...] = (
        lambda a, b: a["id"] == b["id"] and _asked_for(a) == _asked_for(b),
        lambda a, b: bool(a["id"] == b["id"]),
        lambda a, b: a["id"] == b.get("parent_id") or b["id"] == a.get("parent_id"),
        lambda a, b: _asked_for(a) == _asked_for(b),
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


def _flips(before: Run, after: Run) -> Iterator[Text | Table]:
    yield Text("\nRows whose label flipped", style="bold cyan")
    if before.record.data["fingerprint"] != after.record.data["fingerprint"]:
        yield Text("the runs saw different data, so rows cannot be compared", style="yellow")
        return
    old, new = _labels(before), _labels(after)
    table = _table("", "weak label", "of rows", "", "distilled", "of rows", "")
    for split in before.record.data["rows"]:
        cells = []
        for column in ("weak_label", "predicted"):
            pairs = Counter(
                (a, b) for s, a, b in zip(old["split"], old[column], new[column], strict=True) if s == split and a != b
            )
            share = sum(pairs.values()) / before.record.data["rows"][split]
            kinds = ", ".join(f"{n:,} {_name(a)} to {_name(b)}" for (a, b), n in pairs.most_common(SHOWN_FLIPS))
            cells += [f"{sum(pairs.values()):,}", f"{share:.1%}", kinds]
        table.add_row(split, *cells)
    yield table


def _name(label: str | None) -> str:
    return "none" if label is None else sanitize(label)


def _labels(run: Run) -> dict[str, list[Any]]:
    from pyarrow import ArrowException, parquet

    path = run.folder / "labels.parquet"
    try:
        columns: dict[str, list[Any]] = parquet.read_table(
            path, columns=["split", "weak_label", "predicted"]
        ).to_pydict()
    except (OSError, ArrowException) as error:
        reason = re.sub(r"\s+", " ", str(error))[:200]
        raise StoreError(f"the labels {path} cannot be read ({reason}); run it again with force=true.") from error
    return columns


def _scores(before: Run, after: Run) -> Iterator[Text | Table]:
    metric = "accuracy" if before.record.data["metric"] == "accuracy" else "f1"
    table = _table("", metric, "", "macro F1", "")
    for split in Split:
        for what, of in (("label model", _of_label_model), ("distilled", _of_end_model)):
            pairs = [(of(before.record, split, name), of(after.record, split, name)) for name in (metric, "macro_f1")]
            if any(value is not None for pair in pairs for value in pair):
                table.add_row(f"{what}, {split}", *(cell for pair in pairs for cell in _change(*pair)))
    other = before.record.data["fingerprint"] != after.record.data["fingerprint"]
    yield Text(f"\nScores  A to B{', on different data' if other else ''}", style="bold cyan")
    yield table


def _of_label_model(record: RunRecord, split: str, metric: str) -> float | None:
    scores = record.label_model["metrics"].get(split)
    return None if scores is None else scores[metric]


def _of_end_model(record: RunRecord, split: str, metric: str) -> float | None:
    scores = record.end_model["metrics"].get(split)
    return None if scores is None else scores[metric]["mean"]


def _change(old: float | None, new: float | None) -> tuple[str, str]:
    change = "" if old is None or new is None else f"{new - old:+.3f}"
    return f"{_number(old)} to {_number(new)}", change


def _step(old: Section | None, new: Section | None, key: str) -> str:
    values = [_number(program[key]) for program in (old, new) if program is not None]
    return " to ".join(values)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _sources(before: Run, after: Run) -> Iterator[str]:
    """Unified diffs of the programs that both runs have and that differ."""
    changed = [(a, b) for a, b in _pairs(before, after) if a is not None and b is not None and a["id"] != b["id"]]
    if not changed:
        yield "\nno program has changed, so there are no lines to show\n"
    for old, new in changed:
        yield "\n"
        lines = _lines(before, old), _lines(after, new)
        names = f"A: {_asked_for(old)}", f"B: {_asked_for(new)}"
        yield from difflib.unified_diff(lines[0], lines[1], *names)


def _lines(run: Run, program: Section) -> list[str]:
    """The program's file, without the header; it stands at its place in the record's list."""
    place = run.programs.index(program)
    files = sorted((run.folder / "programs").glob("*.py"))
    if place >= len(files):
        return []
    _, source = split_header(files[place].read_text(encoding="utf-8"))
    return [f"{line}\n" for line in source.split("\n")]


def _table(*columns: str) -> Table:
    table = Table(header_style="dim", box=None, pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", overflow="fold")
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
