"""Makes the folder of one of the paper's datasets from its published raw files.

    python scripts/prepare_data.py yelp                       says where the raw files are, and under which licence
    python scripts/prepare_data.py yelp --source test.csv     makes data/yelp of them
    python scripts/prepare_data.py yelp --source train.json valid.json test.json
    python scripts/prepare_data.py yelp --hub                 fetches them from the Hugging Face hub first

The folder gets train.parquet, valid.parquet, test.parquet and manifest.json: checksums, row counts, licence, what to
know. The same files always give the same folder.
"""

import argparse
import shlex
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir

from alchemist_exp import config
from alchemist_exp.cli.arguments import Parser
from alchemist_exp.core.errors import ConfigError, unknown_name
from alchemist_exp.core.exit_codes import clean_exit, print_error, user_error_text
from alchemist_exp.data.files import EmbeddedDataset, FilesDataset
from alchemist_exp.data_prep.hub import Fetched, fetch
from alchemist_exp.data_prep.prepare import Prepared, prepare, require_free
from alchemist_exp.data_prep.recipes import RECIPES, Recipe


def main(arguments: Sequence[str]) -> None:
    """Reads the command line, and says what it did."""
    chosen = _parser().parse_args(arguments)
    name = chosen.name
    if name not in RECIPES:
        raise ConfigError(unknown_name("the dataset", name, RECIPES))
    if chosen.source and chosen.hub:
        raise ConfigError("--source and --hub were both given; name the files, or have them fetched.")
    config.register()
    with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
        experiment = config.build(compose("config", overrides=[f"dataset={name}"]))
    dataset, out = experiment.dataset, chosen.out or Path(experiment.paths.data)
    assert isinstance(dataset, FilesDataset)
    if not chosen.source and not chosen.hub:
        print(_where(name, RECIPES[name], dataset))
        return
    require_free(out / name, chosen.force)
    with tempfile.TemporaryDirectory() as folder:
        fetched = _fetched(dataset, Path(folder)) if chosen.hub else Fetched(chosen.source, None)
        made = prepare(
            name,
            RECIPES[name],
            fetched.paths,
            classes=dataset.classes,
            out=out,
            force=chosen.force,
            origin=fetched.origin,
        )
    print(_summary(made, dataset, chosen.out))


def _fetched(dataset: FilesDataset, folder: Path) -> Fetched:
    if dataset.hub is None:
        raise ConfigError(f"{dataset.name} has no known place on the hub; name its raw files by --source.")
    return fetch(dataset.hub, folder)


def _where(name: str, recipe: Recipe, dataset: FilesDataset) -> str:
    lines = [f"{name} is made from any of these; fetch one, and name it by --source:"]
    for source in recipe.sources:
        lines += ["", f"  {source.what}", f"    from     {source.where}", f"    licence  {source.license}"]
        lines += [f"    note     {source.note}"] if source.note else []
    if dataset.hub is not None:
        lines += ["", f"or --hub fetches it from the Hugging Face hub: {dataset.hub.repo} at {dataset.hub.revision}"]
    return "\n".join(lines)


def _summary(made: Prepared, dataset: FilesDataset, out: Path | None) -> str:
    lines = []
    for split, said in made.manifest["splits"].items():
        counts = ", ".join(f"{count:,} {name}" for name, count in said["classes"].items())
        lines.append(f"{split:<5}  {said['rows']:>6,} rows: {counts}")
    for split, repeated in made.manifest["repeats"].items():
        others = f", {n:,} of them only under other labels" if (n := repeated["under_other_labels"]) else ""
        lines.append(f"{repeated['in_train']:,} {split} texts also stand in train{others}")
    lines += [f"note: {note}" for note in made.manifest["notes"]]
    lines += [f"licence: {made.manifest['license']}", f"made {made.folder}; run it with"]
    if isinstance(dataset, EmbeddedDataset):
        how = f"alchemist run dataset={dataset.name} dataset.path={made.folder.resolve()}"
    else:
        how = (f"ALCHEMIST_DATA={shlex.quote(str(out))} " if out else "") + f"alchemist run dataset={dataset.name}"
    return "\n".join([*lines, f"  {how}"])


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = Parser(
        prog="prepare_data.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("name", metavar="NAME", help=", ".join(RECIPES))
    parser.add_argument(
        "--source",
        metavar="FILE",
        type=Path,
        nargs="+",
        action="extend",
        help="the raw files, or the folder they are in",
    )
    parser.add_argument("--hub", action="store_true", help="fetch the raw files from the Hugging Face hub")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="the folder of the datasets; default: $ALCHEMIST_DATA, else data"
    )
    parser.add_argument("--force", action="store_true", help="replace DIR/NAME if this script has made it before")
    return parser


def _show(error: Exception) -> None:
    if text := user_error_text(error):
        print_error(text)
    else:
        traceback.print_exception(error)


if __name__ == "__main__":
    with clean_exit(_show):
        main(sys.argv[1:])
