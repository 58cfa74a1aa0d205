"""Make the directory of one of the paper's datasets from its published raw files.

    python scripts/prepare_data.py yelp                       prints where the raw files are, and their license
    python scripts/prepare_data.py yelp --source test.csv     makes data/yelp from them
    python scripts/prepare_data.py yelp --source train.json valid.json test.json
    python scripts/prepare_data.py yelp --hub                 downloads them from the Hugging Face Hub first
    python scripts/prepare_data.py waterbirds --hub           downloads a copy of the images

The directory gets train.parquet, valid.parquet and test.parquet (waterbirds: metadata.csv and the images), and
manifest.json with checksums, row counts, license and notes. The same files always give the same directory.
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
from alchemist_exp.data.base import Dataset
from alchemist_exp.data.files import EmbeddedDataset, FilesDataset
from alchemist_exp.data.images.datasets import WaterbirdsDataset
from alchemist_exp.data.images.waterbirds import ARCHIVE, METADATA
from alchemist_exp.data_prep import waterbirds
from alchemist_exp.data_prep.hub import RawFiles, download
from alchemist_exp.data_prep.prepare import Prepared, prepare, require_free
from alchemist_exp.data_prep.recipes import RECIPES, Recipe

_NAMES = (*RECIPES, waterbirds.NAME)


def main(arguments: Sequence[str]) -> None:
    """Make the dataset that the command line names, or print where its raw files are.

    Args:
        arguments: The command line without the program.

    Raises:
        AlchemistError: The command line or the raw files are wrong, or the directory cannot be written.

    """
    chosen = _parser().parse_args(arguments)
    name = chosen.name
    if name not in _NAMES:
        raise ConfigError(unknown_name("the dataset", name, _NAMES))
    if chosen.source and chosen.hub:
        raise ConfigError("--source and --hub exclude each other; name the raw files, or download them.")
    config.register()
    with initialize_config_dir(config_dir=config.config_dir(), version_base="1.3"):
        experiment = config.build(compose("config", overrides=[f"dataset={name}"]))
    dataset, out = experiment.dataset, chosen.out or Path(experiment.paths.data)
    if isinstance(dataset, WaterbirdsDataset):
        _main_waterbirds(chosen, dataset, out)
        return
    assert isinstance(dataset, FilesDataset)
    if not chosen.source and not chosen.hub:
        print(_describe_sources(name, RECIPES[name], dataset))
        return
    require_free(out / name, chosen.overwrite)
    with tempfile.TemporaryDirectory() as directory:
        raw_files = RawFiles(chosen.source, None)
        if chosen.hub:
            if dataset.hub is None:
                raise ConfigError(f"{name} has no known repository on the Hub; name its raw files by --source.")
            raw_files = download(dataset.hub, Path(directory))
        prepared = prepare(
            name,
            RECIPES[name],
            raw_files.paths,
            classes=dataset.classes,
            out=out,
            force=chosen.overwrite,
            origin=raw_files.origin,
        )
    print(_summary(prepared, dataset, chosen.out))


def _main_waterbirds(chosen: argparse.Namespace, dataset: WaterbirdsDataset, out: Path) -> None:
    if chosen.source:
        raise ConfigError(
            f"--source is not for waterbirds: unpack the published archive to {out / waterbirds.NAME}, or use --hub."
        )
    if dataset.hub is None:
        raise ConfigError(
            "dataset.hub of waterbirds is null; name a repository of the Hub in its file of conf/dataset."
        )
    if not chosen.hub:
        print(
            f"The published archive of waterbirds is {ARCHIVE}, which the README of {waterbirds.PUBLISHED} links.\n"
            f"It only needs to be unpacked, so that its {METADATA} is {out / waterbirds.NAME / METADATA}.\n\n"
            f"  license  {dataset.license}\n\n"
            f"or --hub downloads a copy from the Hugging Face Hub: {dataset.hub.repo} at {dataset.hub.revision}"
        )
        return
    prepared = waterbirds.prepare_waterbirds(dataset.hub, license_=dataset.license, out=out, force=chosen.overwrite)
    print(_summary(prepared, dataset, chosen.out))


def _describe_sources(name: str, recipe: Recipe, dataset: FilesDataset) -> str:
    lines = [f"{name} is made from any of these; download one, and name it by --source:"]
    for source in recipe.sources:
        lines += ["", f"  {source.what}", f"    from     {source.where}", f"    license  {source.license}"]
        lines += [f"    note     {source.note}"] if source.note else []
    if dataset.hub is not None:
        lines += ["", f"or --hub downloads it from the Hugging Face Hub: {dataset.hub.repo} at {dataset.hub.revision}"]
    return "\n".join(lines)


def _summary(prepared: Prepared, dataset: Dataset, out: Path | None) -> str:
    lines = []
    for split, entry in prepared.manifest["splits"].items():
        counts = ", ".join(f"{count:,} {name}" for name, count in entry["classes"].items())
        lines.append(f"{split:<5}  {entry['rows']:>6,} rows: {counts}")
    for split, repeats in prepared.manifest.get("repeats", {}).items():
        others = f", {n:,} of them only with other labels" if (n := repeats["under_other_labels"]) else ""
        lines.append(f"{repeats['in_train']:,} {split} texts are also in train{others}")
    lines += [f"note: {note}" for note in prepared.manifest["notes"]]
    lines += [f"license: {prepared.manifest['license']}", f"made {prepared.directory}; run it with"]
    if isinstance(dataset, EmbeddedDataset):
        command = f"alchemist run dataset={dataset.name} dataset.path={prepared.directory.resolve()}"
    else:
        command = (f"ALCHEMIST_DATA={shlex.quote(str(out))} " if out else "") + f"alchemist run dataset={dataset.name}"
        if dataset.images:
            command += " feature_extractor=clip_vit_b32"
    return "\n".join([*lines, f"  {command}"])


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = Parser(
        prog="prepare_data.py",
        description=__doc__,
    )
    parser.add_argument("name", metavar="NAME", help=", ".join(_NAMES))
    parser.add_argument(
        "--source",
        metavar="FILE",
        type=Path,
        nargs="+",
        action="extend",
        help="the raw files, or their directory",
    )
    parser.add_argument("--hub", action="store_true", help="download the raw files from the Hugging Face Hub")
    parser.add_argument(
        "--out", metavar="DIR", type=Path, help="the directory of the datasets; default: $ALCHEMIST_DATA, or data"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DIR/NAME if this script has made it")
    return parser


def _show(error: Exception) -> None:
    if text := user_error_text(error):
        print_error(text)
    else:
        traceback.print_exception(error)


if __name__ == "__main__":
    with clean_exit(_show):
        main(sys.argv[1:])
