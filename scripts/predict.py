"""Label rows, one per line, with a run's distilled model: python scripts/predict.py RUN_DIRECTORY < texts.txt

If the run used `--config-dir DIR`, name DIR after the run's directory.
If the run has `dataset.columns`, each line is a JSON object with these columns.
The output has one tab-separated line per row: the class, its probability (mean over the run's seeds), the row.
Lines end at a newline character only: a text may contain other line separators (form feed, NEL, U+2028). A line without
content (empty, blanks, zero-width characters) has an empty class and probability.
"""

import io
import sys
from pathlib import Path

from alchemist_exp import config
from alchemist_exp.config_errors import explanation
from alchemist_exp.pipeline.artifacts import MODEL, load_extractor
from alchemist_exp.results.record import RunRecord, RunStatus


def main() -> None:
    """Read all rows from standard input, then write their labels to standard output."""
    if len(sys.argv) not in (2, 3):
        sys.exit("error: name one run directory: python scripts/predict.py outputs/runs/KEY < texts.txt")
    directory = Path(sys.argv[1])
    for stream in (sys.stdin, sys.stdout):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(newline="\n")  # no translation: a lone carriage return is part of a text
    try:
        record = RunRecord.read(directory)
        if record is None or record.status is not RunStatus.FINISHED:
            sys.exit(f"error: {directory} holds no finished run; name a directory under outputs/runs/.")
        experiment = config.build(config.compose(record.overrides, *sys.argv[2:]))
        lines = [line.removesuffix("\r") for line in sys.stdin.read().split("\n")]
        lines = lines if lines[-1] else lines[:-1]
        kind, extract_features = load_extractor(directory / MODEL, experiment.feature_extractor)
        rows = []
        for number, line in enumerate(lines, start=1):
            try:
                rows.append(kind.parse(line))
            except ValueError as error:
                sys.exit(f"error: line {number}: {error}")
        probs = experiment.end_model.load(directory / MODEL).predict_proba(extract_features(rows)).mean(axis=0)
    except Exception as error:
        if (text := explanation(error)) is None:
            raise
        sys.exit(f"error: {text}")
    for line, row, shares in zip(lines, rows, probs, strict=True):
        label = ("", "") if kind.is_empty(row) else (record.data["classes"][shares.argmax()], f"{shares.max():.3f}")
        print(*label, line, sep="\t")


if __name__ == "__main__":
    main()
