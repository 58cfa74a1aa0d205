"""Five seeds trained at once against five trained one after another, the same data, equal scores."""

from collections.abc import Iterator

import numpy as np
from hydra import compose, initialize_config_dir

from alchemist_exp import config
from alchemist_exp.core.values import SoftLabels, Split
from alchemist_exp.end_model.base import Validation
from bench.timing import best_of

SEEDS = (0, 1, 2, 3, 4)


def compare() -> Iterator[tuple[str, float, str, float]]:
    """One comparison on the YouTube comments with their gold labels."""
    config.register()
    with initialize_config_dir(config_dir=config.folder(), version_base="1.3"):
        experiment = config.build(compose("config"))
    data = experiment.dataset.load()
    features = {
        split: experiment.feature_extractor.fit(data.texts(Split.TRAIN)).transform(data.texts(split)) for split in Split
    }
    gold, valid_gold = data.gold(Split.TRAIN), data.gold(Split.VALID)
    if gold is None or valid_gold is None:
        raise AssertionError("the embedded set has gold")
    labels = SoftLabels(probs=np.eye(2, dtype=np.float32)[gold], covered=np.ones(len(gold), dtype=bool))
    validation = Validation(features=features[Split.VALID], gold=valid_gold, n_classes=2, positive=None)

    def train(seeds: tuple[int, ...]) -> np.ndarray:
        model = experiment.end_model.fit(features[Split.TRAIN], labels, seeds=seeds, validation=validation)
        return model.predict_proba(features[Split.TEST])

    alone = np.concatenate([train((seed,)) for seed in SEEDS])
    if not np.allclose(train(SEEDS), alone, atol=1e-3):
        raise AssertionError("seeds differ when trained together")
    best = best_of(3, {"ours": lambda: train(SEEDS), "peer": lambda: [train((seed,)) for seed in SEEDS]})
    yield "five seeds of the MLP at once", best["ours"], "the same, one after another", best["peer"]
