"""Labels texts, one a line, with a run's distilled model: python scripts/predict.py RUN_FOLDER < texts.txt

Writes a tab-separated line for each: the class, its probability (mean over the run's seeds), the text.
"""

import sys
from pathlib import Path

from hydra import compose, initialize_config_dir

from alchemist_exp import config
from alchemist_exp.core.errors import AlchemistError
from alchemist_exp.pipeline.artifacts import MODEL
from alchemist_exp.results.record import RunRecord, RunStatus


def main() -> None:
    """Reads standard input to its end, then writes."""
    if len(sys.argv) != 2:
        sys.exit("error: name one run folder: python scripts/predict.py outputs/runs/KEY < texts.txt")
    folder = Path(sys.argv[1])
    try:
        record = RunRecord.read(folder)
        if record is None or record.status is not RunStatus.FINISHED:
            sys.exit(f"error: {folder} holds no finished run; name a folder under outputs/runs/.")
        config.register()
        with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
            experiment = config.build(compose("config", overrides=record.overrides))
        texts = sys.stdin.read().splitlines()
        features = experiment.feature_extractor.load(folder / MODEL).transform(texts)
        probs = experiment.end_model.load(folder / MODEL).predict_proba(features).mean(axis=0)
    except AlchemistError as error:
        sys.exit(f"error: {error}")
    for text, row in zip(texts, probs, strict=True):
        print(record.data["classes"][row.argmax()], f"{row.max():.3f}", text, sep="\t")


if __name__ == "__main__":
    main()
