"""What `bench.apply` compares with, each run in its own process: a plain loop, and the appliers of Snorkel.

Each reads the same Parquet files, computes the vote of each program on each row, and writes the sum of the votes of
each program as JSON.
"""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Program = Callable[[str], int]


def programs_of(sources: Sequence[str]) -> list[Program]:
    """Return the functions of programs.

    Args:
        sources: The source of each program, which has the function label_function.

    """
    functions: list[Program] = []
    for source in sources:
        names: dict[str, Any] = {}
        exec(compile(source, "program", "exec"), names)
        functions.append(names["label_function"])
    return functions


def loop(programs: Sequence[Program], inputs: Sequence[Path]) -> list[int]:
    """Return the sums of the votes of a loop over programs and rows; the votes are written as a run would.

    Args:
        programs: The programs.
        inputs: The Parquet files.

    """
    import pyarrow as pa
    from pyarrow import parquet

    sums = [0] * len(programs)
    for path in inputs:
        texts = parquet.read_table(path, columns=["text"])["text"].to_pylist()
        votes = [[program(text) for text in texts] for program in programs]
        columns = {f"{at}": pa.array(column, pa.int8()) for at, column in enumerate(votes)}
        parquet.write_table(pa.table(columns), path.with_suffix(".votes"), compression="zstd")
        sums = [before + sum(column) for before, column in zip(sums, votes, strict=True)]
    return sums


def _labeling_functions(programs: Sequence[Program]) -> list[Any]:
    from snorkel.labeling import LabelingFunction

    def of_row(row: Any, program: Program) -> int:
        return program(row.text)

    return [
        LabelingFunction(f"program {at}", of_row, resources={"program": program}) for at, program in enumerate(programs)
    ]


def snorkel_pandas(programs: Sequence[Program], inputs: Sequence[Path]) -> list[int]:
    """Return the sums of the votes of PandasLFApplier on one frame; see `loop`."""
    import pandas as pd
    from snorkel.labeling import PandasLFApplier

    frame = pd.concat([pd.read_parquet(path, columns=["text"]) for path in inputs], ignore_index=True)
    votes = PandasLFApplier(_labeling_functions(programs)).apply(frame, progress_bar=False)
    return [int(total) for total in votes.sum(axis=0)]


def snorkel_dask(programs: Sequence[Program], inputs: Sequence[Path], fault_tolerant: bool = False) -> list[int]:
    """Return the sums of the votes of DaskLFApplier with two processes; see `loop`."""
    import dask
    from dask import dataframe
    from snorkel.labeling.apply.dask import DaskLFApplier

    frame = dataframe.read_parquet([str(path) for path in inputs], columns=["text"])
    with dask.config.set(num_workers=2):
        applier = DaskLFApplier(_labeling_functions(programs))
        votes = applier.apply(frame, scheduler="processes", fault_tolerant=fault_tolerant)
    return [int(total) for total in votes.sum(axis=0)]


def snorkel_dask_tolerant(programs: Sequence[Program], inputs: Sequence[Path]) -> list[int]:
    """Return the sums of the votes of DaskLFApplier, which abstains where a program raises an error."""
    return snorkel_dask(programs, inputs, fault_tolerant=True)


def main() -> None:
    """Run the function that the command line names: NAME, JSON file of the sources, directory of the inputs, output."""
    name, sources, inputs, out = sys.argv[1:]
    programs = programs_of(json.loads(Path(sources).read_text(encoding="utf-8")))
    try:
        answer: dict[str, object] = {"sums": globals()[name](programs, sorted(Path(inputs).glob("*.parquet")))}
    except Exception as error:  # noqa: BLE001  # the benchmark shows how a peer fails
        causes = [f"{type(one).__name__}: {str(one).splitlines()[0]}" for one in (error, error.__cause__) if one]
        answer = {"error": " Cause: ".join(causes)}
    Path(out).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
