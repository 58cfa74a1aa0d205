"""Label rows, one per line, with a run's distilled model: python scripts/predict.py RUN < texts.txt

RUN is a run's key, the first digits of it, or its directory; --outputs DIR is what the run had as paths.outputs.
If the model or the feature extractor of the run is from your `--config-dir DIR`, name DIR after RUN.
If the run has `dataset.columns`, each line is a JSON object with these columns.
The output has one tab-separated line per row: the class, its probability (mean over the run's seeds), the row.
Lines end at a newline character only: a text may contain other line separators (form feed, NEL, U+2028). A line without
content (empty, blanks, zero-width characters) has an empty class and probability. For a run on images each line is the
path of an image; one that is not usable has an empty class and probability too, and standard error says why.
"""

import io
import sys
from pathlib import Path

from alchemist_exp import config
from alchemist_exp.cli.arguments import OUTPUTS, Parser
from alchemist_exp.cli.run_directory import find_run, read_finished
from alchemist_exp.config_errors import explanation
from alchemist_exp.pipeline.artifacts import MODEL, load_extractor


def main() -> None:
    """Read all rows from standard input, then write their labels to standard output."""
    parser = Parser(prog="scripts/predict.py", description=__doc__, allow_abbrev=False)
    parser.add_argument("run", metavar="RUN", help="a run: its key, the first digits of it, or its directory")
    parser.add_argument("config_dir", metavar="DIR", nargs="?", help="your own members, if the model is one of them")
    parser.add_argument("--outputs", metavar="DIR", type=Path, default=OUTPUTS, help="paths.outputs of the run")
    for stream in (sys.stdin, sys.stdout):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(newline="\n")  # no translation: a lone carriage return is part of a text
    try:
        chosen = parser.parse_args()
        directory = find_run(chosen.outputs, chosen.run)
        record = read_finished(directory, "only a finished run has a model")
        # The saved model has all that it needs of the dataset, whose member need not be known here.
        of_dataset = ("dataset=", "dataset.")
        overrides = [text for text in record.overrides if not text.lstrip("+").startswith(of_dataset)]
        experiment = config.build(config.compose(overrides, chosen.config_dir))
        lines = [line.removesuffix("\r") for line in sys.stdin.read().split("\n")]
        lines = lines if lines[-1] else lines[:-1]
        kind, extract_features = load_extractor(directory / MODEL, experiment.feature_extractor)
        rows: dict[int, str] = {}  # by the number of the line
        unusable = []
        for number, line in enumerate(lines, start=1):
            try:
                rows[number] = kind.parse(line)
            except ValueError as error:
                unusable.append(f"line {number}: {error}")
        if unusable and (kind.extractor_input_type != "images" or not rows):
            sys.exit(f"error: {unusable[0]}")
        for problem in unusable:
            print(f"no label for {problem}", file=sys.stderr)
        features = extract_features([*rows.values()])
        probs = experiment.end_model.load(directory / MODEL).predict_proba(features).mean(axis=0)
    except Exception as error:
        if (text := explanation(error)) is None:
            raise
        sys.exit(f"error: {text}")
    shares_of = dict(zip(rows, probs, strict=True))
    for number, line in enumerate(lines, start=1):
        label = ("", "")
        if number in rows and not kind.is_empty(rows[number]):
            label = (record.data["classes"][shares_of[number].argmax()], f"{shares_of[number].max():.3f}")
        print(*label, line, sep="\t")


if __name__ == "__main__":
    main()
