"""Label a list of texts with your own programs.

The programs vote on each text, the label model combines the votes, and a small model learns from the combined labels.
With method=alchemist and llm=openai an LLM writes the programs instead.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

import alchemist_exp

TEXTS = [
    "Win a free phone, click http://win.example now",
    "Are you coming to dinner tonight?",
    "FREE entry: send your bank details to claim the prize",
    "The meeting moved to ten o'clock",
    "Cheap loans! Visit http://loans.example today",
    "Thanks for the photos, they are lovely",
] * 5

PROGRAMS = {
    "link": "def label_function(text):\n    return 1 if 'http' in text else -1\n",
    "offer": "def label_function(text):\n    return 1 if {'free', 'win'} & set(text.lower().split()) else -1\n",
    "plain": "def label_function(text):\n    return -1 if 'http' in text or 'free' in text.lower() else 0\n",
}

with TemporaryDirectory() as directory:
    root = Path(directory)
    (root / "programs").mkdir()
    for name, source in PROGRAMS.items():
        (root / "programs" / f"{name}.py").write_text(source)
    pd.DataFrame({"text": TEXTS}).to_csv(root / "texts.csv", index=False)
    result = alchemist_exp.run(
        [
            "dataset=files",
            f"dataset.path={root}/texts.csv",
            "dataset.classes=[ham,spam]",
            "dataset.prompt='Decide whether a message is spam.'",
            "method=program_files",
            f"method.path={root}/programs",
            "label_model=dawid_skene",
            "seed=s0",
            "logger=none",
            f"paths.outputs={root}/outputs",
        ]
    )
    labels = pd.read_parquet(result.directory / "labels.parquet")

print(labels[["text", "weak_label", "predicted", "confidence"]].head(6).to_string())
for note in result.record.notes:
    print("note:", note)
