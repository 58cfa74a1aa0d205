"""Runs the benchmarks named on the command line, by default all: `python -m bench sandbox --rows 1000000`."""

import argparse
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py") if path.stem != "timing")


def main() -> None:
    """Print a row per comparison (what, ours, the peer, how many times faster ours is), then notes."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; by default all")
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        help="numbers of rows with which whole runs (rows), the sandbox's memory (sandbox) and alchemist apply (apply) "
        "are measured",
    )
    arguments = parser.parse_args()
    if wrong := [name for name in arguments.names if name not in NAMES]:
        parser.exit(1, f"error: the benchmark {wrong[0]!r} is unknown. Known: {', '.join(NAMES)}.\n")
    table = Table("benchmark", "ours, s", "peer", "peer, s", "peer / ours", box=None)
    notes: list[str] = []
    for name in arguments.names or NAMES:
        module = import_module(f"bench.{name}")
        for what, ours, peer, theirs in module.compare():
            table.add_row(what, f"{ours:.4f}", peer, f"{theirs:.4f}", f"{theirs / ours:.2f}x")
        if hasattr(module, "measure"):
            notes += module.measure(arguments.rows)
    console = Console(width=130)
    if table.row_count:
        console.print(table)
    for note in notes:
        console.print(note, highlight=False, markup=False)


if __name__ == "__main__":
    main()
