"""The sources of the paper's text datasets: where the raw files are, their license and how they are split.

These are facts about files that others publish, so they are here and not in conf. Class indices follow conf/dataset.
Row counts are the publishers'; a file with another number of rows is accepted with a note.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from alchemist_exp.core.types import Split
from alchemist_exp.data_prep import raw
from alchemist_exp.data_prep.split import Sizes

SEED = 0
"""The seed of every split that this package makes."""

Counts = Mapping[Split | None, int]


@dataclass(frozen=True, kw_only=True)
class RawSource:
    """One form in which a dataset is published.

    Attributes:
        what: The files, in words.
        files: Patterns of the files' names, for a directory or for files named one by one.
        where: The URL of the files.
        license: The license of the texts.
        rows: The published number of rows by split, under None if the publisher has not split them.
        read: The reader of the files.
        note: What differs from the data of the paper.
        votes_on: The splits whose human votes are correct.

    """

    what: str
    files: tuple[str, ...]
    where: str
    license: str
    rows: Counts
    read: raw.Reader
    note: str = ""
    votes_on: tuple[Split, ...] = tuple(Split)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one dataset is made.

    Attributes:
        sizes: Rows of each split, if the publisher has not split them.
        sources: The forms in which it is published; the first one that fits the given files is used.

    """

    sizes: Sizes
    sources: tuple[RawSource, ...]


def _wrench(name: str, train: int, valid: int, test: int) -> RawSource:
    return RawSource(
        what="train.json, valid.json and test.json of WRENCH",
        files=tuple(f"{split}.json" for split in Split),
        where=f"https://huggingface.co/datasets/jieyuz2/WRENCH (folder classification/{name})",
        license="Apache-2.0 on WRENCH; the texts keep their publishers' terms",
        rows={Split.TRAIN: train, Split.VALID: valid, Split.TEST: test},
        read=raw.wrench(n_classes=2),
    )


_SENTIMENT = {"negative": 0, "neutral": 1, "positive": 2}

_NOT_WRENCH = "WRENCH's own split and the votes of its labeling functions cannot be rebuilt from these files."

_RENAMED = "The votes are in the column weak_labels: run with dataset.human_votes_column=weak_labels."

RECIPES: dict[str, Recipe] = {
    "youtube": Recipe(
        # 1,686 training rows in the paper's Table 5; all five files hold 1,956, and WRENCH trains on 1,586 of them.
        sizes=Sizes(1586, 120),
        sources=(
            _wrench("youtube", 1586, 120, 250),
            RawSource(
                what="the five CSV files of the YouTube Spam Collection, or their directory",
                files=("Youtube*.csv",),
                where="https://archive.ics.uci.edu/dataset/380/youtube+spam+collection (doi:10.24432/C58885)",
                license="CC BY 4.0",
                rows={None: 1956},
                read=raw.table({"0": 0, "1": 1}, text="CONTENT", label="CLASS"),
                note=_NOT_WRENCH,
            ),
        ),
    ),
    "sms": Recipe(
        sizes=Sizes(4571, 500),
        sources=(
            replace(
                _wrench("sms", 4571, 500, 500),
                votes_on=(Split.TRAIN,),
                note="The votes on valid and test are removed: in known copies they belong to other rows.",
            ),
            RawSource(
                what="the file SMSSpamCollection",
                files=("SMSSpamCollection*",),
                where="https://archive.ics.uci.edu/dataset/228/sms+spam+collection (doi:10.24432/C5CC84)",
                license="CC BY 4.0",
                rows={None: 5574},
                read=raw.lines({"ham": 0, "spam": 1}, separator="\t", label_first=True, encoding="utf-8"),
                note=f"{_NOT_WRENCH} Upper case is kept, and WRENCH's texts are in lower case.",
            ),
        ),
    ),
    "yelp": Recipe(
        sizes=Sizes(30400, 3800, 3800),
        sources=(
            replace(_wrench("yelp", 30400, 3800, 3800), note=_RENAMED),
            RawSource(
                what="test.csv of Yelp Review Polarity",
                files=("*test.csv",),
                where="https://s3.amazonaws.com/fast-ai-nlp/yelp_review_polarity_csv.tgz (Zhang et al., 2015)",
                license="the terms of the Yelp dataset",
                rows={None: 38000},
                read=raw.yelp_polarity,
                note=_NOT_WRENCH,
            ),
        ),
    ),
    "imdb": Recipe(
        sizes=Sizes(20000, 2500, 2500),
        sources=(
            replace(_wrench("imdb", 20000, 2500, 2500), note=_RENAMED),
            RawSource(
                what="the directory aclImdb, of which the training reviews are used",
                files=("train/pos/*.txt", "train/neg/*.txt"),
                where="https://ai.stanford.edu/~amaas/data/sentiment/ (Maas et al., 2011)",
                license="not stated",
                rows={None: 25000},
                read=raw.without_breaks(raw.directories({"neg": 0, "pos": 1})),
                note=_NOT_WRENCH,
            ),
            RawSource(
                what='"IMDB Dataset.csv" of Kaggle',
                files=("*.csv",),
                where="https://www.kaggle.com/datasets/lakshmi25npathi/imdb-dataset-of-50k-movie-reviews",
                license="not stated",
                rows={None: 50000},
                read=raw.without_breaks(
                    raw.table({"negative": 0, "positive": 1}, text="review", label="sentiment"),
                ),
                note=f"{_NOT_WRENCH} It mixes the official training and test reviews; half of them are used.",
            ),
        ),
    ),
    "medabs": Recipe(
        sizes=Sizes(10395, 1155, 0),
        sources=(
            RawSource(
                what="medical_tc_train.csv and medical_tc_test.csv of the Medical Abstracts corpus",
                files=("*train.csv", "*test.csv"),
                where="https://github.com/sebischair/Medical-Abstracts-TC-Corpus",
                license="CC BY-SA 3.0",
                rows={Split.TRAIN: 11550, Split.TEST: 2888},
                read=raw.split_tables(
                    {str(i): i - 1 for i in range(1, 6)}, text="medical_abstract", label="condition_label"
                ),
                note="Test is as published. Many abstracts are in it under several classes.",
            ),
        ),
    ),
    "cancer": Recipe(
        sizes=Sizes(5450, 606),
        sources=(
            RawSource(
                what="alldata_1_for_kaggle.csv",
                files=("*.csv",),
                where="https://www.kaggle.com/datasets/falgunipatel19/biomedical-text-publication-classification",
                license="stated on its page, which was not accessible when this was written",
                rows={None: 7570},
                read=raw.table(
                    {"Colon_Cancer": 0, "Lung_Cancer": 1, "Thyroid_Cancer": 2}, text="a", label="0", encoding="latin-1"
                ),
            ),
        ),
    ),
    "finance": Recipe(
        sizes=Sizes(3488, 388),
        sources=(
            RawSource(
                what="Sentences_50Agree.txt of the FinancialPhraseBank",
                files=("Sentences_50Agree*.txt",),
                where="https://huggingface.co/datasets/takala/financial_phrasebank (FinancialPhraseBank-v1.0.zip)",
                license="CC BY-NC-SA 3.0",
                rows={None: 4846},
                read=raw.lines(_SENTIMENT, separator="@", label_first=False, encoding="latin-1"),
            ),
        ),
    ),
    "french": Recipe(
        sizes=Sizes(6953, 763),
        sources=(
            RawSource(
                what="french_books_reviews.csv",
                files=("*.csv",),
                where="https://huggingface.co/datasets/Abirate/french_book_reviews",
                license="CC0",
                rows={None: 9658},
                read=raw.table(
                    {"-1": 0, "0": 1, "1": 2, "-1.0": 0, "0.0": 1, "1.0": 2}, text="reader_review", label="label"
                ),
            ),
        ),
    ),
}
"""The datasets that can be made, by the names of their YAML files."""
