"""Runs the benchmarks named on the command line, or all of them."""

import sys
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("[!_]*.py") if path.stem != "timing")


def main() -> None:
    """Prints a row per comparison: what, ours, the peer, and how many times faster ours is."""
    chosen = sys.argv[1:] or NAMES
    if wrong := [name for name in chosen if name not in NAMES]:
        sys.exit(f"error: the benchmark {wrong[0]!r} is unknown. Known: {', '.join(NAMES)}.")
    table = Table("benchmark", "ours, s", "peer", "peer, s", "peer / ours", box=None)
    for name in chosen:
        for what, ours, peer, theirs in import_module(f"bench.{name}").compare():
            table.add_row(what, f"{ours:.4f}", peer, f"{theirs:.4f}", f"{theirs / ours:.2f}x")
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
