"""`alchemist export RUN -o DIR`: writes the labels, programs and model of a finished run for use without Alchemist."""

import sys
from collections.abc import Sequence
from pathlib import Path

from alchemist_exp.cli.arguments import OUTPUTS, Parser, as_command
from alchemist_exp.cli.run_directory import find_run
from alchemist_exp.core.atomic_io import resolve_user_path
from alchemist_exp.core.terminal import single_line

DESCRIPTION = """\
Write a finished run into a directory, for use without Alchemist. Nothing is sent to an LLM, and no program is run.

  alchemist export RUN -o DIR

  DIR/data, DIR/jsonl    the rows with their labels: datasets.load_dataset('DIR'), or Parquet and JSONL files
  DIR/README.md          a card; DIR/croissant.json has the same as metadata
  DIR/labeler.py         programs and label model in one Python file without dependencies
  DIR/model.safetensors  the distilled model; DIR/model.onnx maps features to probabilities (extra export)
  DIR/run                the run: alchemist apply DIR FILE

The column label_source says of each label whether it is gold or made by a machine. DIR/run/record.json has the whole
configuration, with the paths of your files.
"""


@as_command
def main(arguments: Sequence[str] | None = None) -> int:
    """Run `alchemist export`.

    Args:
        arguments: The command line after the command's name; None takes it from sys.argv.

    Returns:
        The exit code. An error ends the process, after a message on standard error.

    """
    parser = Parser(prog="alchemist export", description=DESCRIPTION)
    parser.add_argument("run", metavar="RUN", help="a run: its key, the first digits of it, or its directory")
    parser.add_argument("-o", "--out", metavar="DIR", required=True, help="the directory to write")
    parser.add_argument("--overwrite", action="store_true", help="replace DIR if it is an export")
    parser.add_argument(
        "--outputs", metavar="DIR", type=Path, default=OUTPUTS, help="the directory that the run had as paths.outputs"
    )
    parser.add_argument("--config-dir", metavar="DIR", type=Path, help="run the code of your own components in DIR")
    chosen = parser.parse_args(arguments)
    from alchemist_exp.export.bundle import check_target, export_run
    from alchemist_exp.labeling.components import Consent
    from alchemist_exp.labeling.run_files import open_run, refuse_multi_label

    directory = resolve_user_path(chosen.out, "--out").absolute()
    check_target(directory, force=chosen.overwrite)
    run = open_run(find_run(chosen.outputs, chosen.run).absolute())
    refuse_multi_label(run, "alchemist export")
    summary = export_run(run, directory, Consent(config_dir=chosen.config_dir))
    for note in summary.notes:
        print(f"note: {single_line(note)}", file=sys.stderr)
    labels = ", ".join(f"{count:,} labels from {single_line(name)}" for name, count in summary.sources.items())
    print(f"wrote {single_line(chosen.out)}: {summary.n_rows:,} rows: {labels or 'no label'}")
    return 0
