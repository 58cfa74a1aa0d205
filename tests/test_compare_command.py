"""The commands `alchemist compare` and `alchemist status`."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alchemist_exp import config
from alchemist_exp.cli import clean
from alchemist_exp.cli.compare import main
from alchemist_exp.cli.table_runs import filters_of
from alchemist_exp.core.atomic_io import read_json
from alchemist_exp.core.hashing import code_fingerprint
from alchemist_exp.results.provenance import package_versions
from alchemist_exp.results.record import RunRecord
from alchemist_exp.results.render import FORMATS
from alchemist_exp.results.run_names import run_name
from alchemist_exp.results.runs import index_runs, members_of
from tests.support.forking import run_alchemist
from tests.support.paths import REPOSITORY
from tests.support.records import record, scores, write
from tests.support.wandb_files import read_offline_run

# The tests of processes compose as a user does.
pytestmark = pytest.mark.usefixtures("composed_once")


@pytest.fixture(scope="session")
def swept(composed) -> Callable[..., dict[str, Any]]:
    """Make the record of a job of a table's sweep, with the components of the real configuration."""

    def make(*overrides: str, seeds: tuple[int, ...] = (0, 1, 2, 3, 4), **changes: Any) -> dict[str, Any]:
        experiment = config.build(composed("+experiment=table8", *overrides))
        members = {group: part.name for group, part in experiment.used_components() if group != "seed"}
        made = record(members, seeds=seeds, **changes)
        components = dict(experiment.component_keys())
        components["seed"] = made["components"]["seed"]
        return made | {"components": components, "overrides": list(overrides)}

    return make


@pytest.fixture
def outputs(tmp_path: Path, swept: Callable[..., dict[str, Any]]) -> Path:
    """Two finished runs and a broken record."""
    write(tmp_path, "one", swept())
    write(tmp_path, "two", swept("dataset=sms"))
    write(tmp_path, "broken", "{")
    return tmp_path


@pytest.fixture
def failing(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that fails and return its error, one line."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 1
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.count("\n") == 1
        return captured.err

    return run


def test_a_table_is_printed_and_a_broken_record_is_named(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(outputs), "--table", "table8"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("\nTable 8: the distilled model by label model\n")
    assert "0.920 ± 0.016" in captured.out
    assert f"error: the record {outputs}/runs/broken/record.json is broken" in captured.err


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_printed_or_goes_into_a_file(
    outputs: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(outputs), "--table", "table1", "--format", kind, "dataset=youtube,sms"]) == 0
    printed = capsys.readouterr().out
    file = outputs / f"out{FORMATS[kind][0]}"
    assert main([str(outputs), "dataset=youtube,sms", "--table", "table1", "--out", str(file)]) == 0
    assert file.read_text(encoding="utf-8") == printed
    assert f"wrote {file}" in capsys.readouterr().out


def test_a_directory_gets_every_format_and_figure5_its_pictures(
    outputs: Path, swept: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    of = ("dataset=yelp", "supplement=mixed", "selection=random")
    write(outputs, "draw", swept(*of, config={"selection.n": 4, "selection.seed": 0}))
    assert main([str(outputs), "--table", "figure5", "--out", str(outputs / "figure")]) == 0
    names = {path.name for path in (outputs / "figure").iterdir()}
    assert names == {f"figure5{suffix}" for suffix, _ in FORMATS.values()} | {"figure5.svg", "figure5.png"}
    assert "<svg" in (outputs / "figure" / "figure5.html").read_text(encoding="utf-8")
    assert main([str(outputs), "--table", "figure5", "--out", str(outputs / "alone.png")]) == 0
    assert (outputs / "alone.png").read_bytes() == (outputs / "figure" / "figure5.png").read_bytes()


def test_the_rows_and_the_picture_go_to_one_wandb_run(
    outputs: Path, swept: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    of = ("dataset=yelp", "supplement=mixed", "selection=random")
    write(outputs, "draw", swept(*of, config={"selection.n": 4, "selection.seed": 0}))
    assert main([str(outputs), "--table", "figure5", "--wandb"]) == 0
    assert f"upload    wandb sync {outputs}/wandb/offline-run-*" in capsys.readouterr().out.splitlines()
    logged = read_offline_run(outputs)
    assert (logged.run.display_name, logged.run.job_type, logged.exit_code) == ("compare figure5", "compare", 0)
    assert json.loads(logged.summary["figure.format"]) == "png"
    (files,) = outputs.glob("wandb/offline-run-*/files")
    shown = json.loads((files / json.loads(logged.summary["figure5.path"])).read_text())
    assert main([str(outputs), "--table", "figure5", "--format", "csv"]) == 0
    assert ",".join(shown["columns"]) == capsys.readouterr().out.splitlines()[0]
    assert json.loads(logged.summary["figure5.nrows"]) == len(shown["data"]) > 0


def test_without_a_table_every_finished_run_has_a_line(outputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(outputs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "0.936" in line or "0.926" in line] == ["sms", "youtube"]


def test_a_line_of_several_runs_names_the_one_with_the_most_seeds(tmp_path: Path, capsys) -> None:
    for number, (key, seeds) in enumerate({"old": (0, 1, 2, 3, 4), "five": (0, 1, 2, 3, 4), "one": (0,)}.items()):
        write(tmp_path, key, record(seeds=seeds, started_at=f"2026-11-2{number}T10:00:00+00:00"))
    assert main([str(tmp_path), "--format", "csv"]) == 0
    assert "five old one" in capsys.readouterr().out


def test_an_edited_run_is_named_so(tmp_path: Path, capsys) -> None:
    for name, source in (("parent", "old"), ("child", "new")):
        made = record({"method": "program_files"})
        made["components"]["method"]["sources"] = [source]
        made["config"]["method"]["edited_from"] = "0a1b2c3d4e5f6071" if name == "child" else None
        write(tmp_path, name, made)
    assert main([str(tmp_path)]) == 0
    lines = {line.split()[-1]: line for line in capsys.readouterr().out.splitlines() if line}
    assert "program_files, edited from 0a1b2c3d4e5f " in lines["child"]
    assert "edited" not in lines["parent"]


def test_runs_are_compared_on_unseen_rows(tmp_path: Path, swept: Callable[..., dict[str, Any]], capsys) -> None:
    repeated, other = swept(), swept("dataset=sms")
    repeated["label_model"]["metrics_unseen"] = {"test": scores(0.712), "valid": None}
    per_seed = {name: {"per_seed": [value] * 5} for name, value in scores(0.612).items()}
    repeated["end_model"]["metrics_unseen"] = {"test": per_seed}
    write(tmp_path, "one", repeated)
    write(tmp_path, "two", other)
    main([str(tmp_path)])
    usual = capsys.readouterr().out
    main([str(tmp_path), "--unseen"])
    unseen = capsys.readouterr().out
    for number in ("0.712", "0.612"):
        assert number not in usual
        assert number in unseen
    assert unseen.count("0.926") == usual.count("0.926") == 1, "sms has no repeats here, so its F1 stays"
    assert "whose text is in no earlier split" in unseen


def test_wrong_arguments_are_one_sentence(outputs: Path, tmp_path: Path, failing: Callable[..., str]) -> None:
    here = str(outputs)
    assert "has no directory runs/" in failing(str(tmp_path / "absent"))
    assert "invalid choice: 'table7'" in failing(here, "--table", "table7")
    assert "'snorkel' is not a filter" in failing(here, "snorkel")
    assert "the filter 'datset' is unknown; did you mean 'dataset'?" in failing(here, "datset=sms")
    assert "has to end in one of .txt, .md, .csv, .tex, .html" in failing(here, "--out", "x.pdf")
    assert "has to end in one of" in failing(here, "--out", "x.md", "--format", "html")
    assert "is a directory and gets every format" in failing(here, "--out", "x", "--format", "html")
    assert "no run has dataset=yelp. The runs have: sms, youtube." in failing(here, "dataset=yelp")
    assert "no run has label_model=snrkel; did you mean 'snorkel'?" in failing(here, "label_model=snorkel,snrkel")


def test_runs_on_two_servers_are_not_merged(
    tmp_path: Path, swept: Callable[..., dict[str, Any]], failing: Callable[..., str], capsys
) -> None:
    for seed, port in enumerate((18081, 18082)):
        url = f"llm.base_url=http://127.0.0.1:{port}/v1"
        write(tmp_path, f"s{seed}", swept("llm=openai_compatible", "llm.model=m", url, seeds=(seed,)))
    assert main([str(tmp_path), "--table", "table8"]) == 0
    assert "2 runs are left out" in capsys.readouterr().out
    sentence = failing(str(tmp_path), "--table", "table8", "llm=openai_compatible", "llm.model=m")
    assert "that differ in llm.base_url: http://127.0.0.1:18081/v1" in sentence
    chosen = sentence.partition("or choose with ")[2].rstrip(".\n")
    assert main([str(tmp_path), "--table", "table8", chosen, "llm=openai_compatible"]) == 0
    assert "1 of 1 finished runs" in capsys.readouterr().out


OTHERS: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "another extractor": (("feature_extractor=bert",), {}, "feature_extractor=bert (1 run)"),
    "another value": (("label_model.max_iterations=5",), {}, "label_model.max_iterations=5 (1 run)"),
    "a part of the data": (("dataset.limit=100",), {}, "dataset.limit=100 (1 run)"),
    "other gold labels": (("gold=none",), {}, "gold=none (1 run)"),
    "another version of the program": ((), {"code": "fade" * 6}, "code=fadefadefade (1 run)"),
    "other programs": (("method.n_programs=5",), {}, "method.n_programs=5 (1 run)"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_table_is_made_of_its_own_sweep(
    tmp_path: Path, swept: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str], other: str
) -> None:
    """A run that the sweep does not ask for neither stops the table nor adds to it."""
    overrides, changes, reason = OTHERS[other]
    here = {"code": code_fingerprint(), "packages": package_versions()}
    write(tmp_path, "own", swept(**here))
    write(tmp_path, "other", swept(*overrides, distilled=(0.1,) * 5, **here | changes))
    assert main([str(tmp_path), "--table", "table8"]) == 0
    table = capsys.readouterr().out
    assert "1 of 2 finished runs" in table
    assert f"! 1 run is left out, because the sweep of table8 does not ask for it: {reason}" in " ".join(table.split())
    assert "0.920 ± 0.016" in table
    assert "0.100" not in table
    if overrides:
        assert main([str(tmp_path), "--table", "table8", *overrides]) == 0
        assert "0.100" in capsys.readouterr().out


def test_table2_has_every_seed_of_the_data_that_runs_have(composed, tmp_path: Path, capsys) -> None:
    """Other seeds than those of the sweep count; data of another size are left out."""
    here = {"code": code_fingerprint(), "packages": package_versions()}
    for name, override in (
        ("0", "dataset.seed=0"),
        ("1", "dataset.seed=1"),
        ("7", "dataset.seed=7"),
        ("small", "dataset.n_train=120"),
    ):
        for method in ("alchemist", "vanilla_image"):
            experiment = config.build(composed("+experiment=table2", f"method={method}", override))
            members = {group: part.name for group, part in experiment.used_components() if group != "seed"}
            made = record(members, seeds=(0,), **here, config={"dataset.seed": experiment.dataset.seed})
            made["data"]["fingerprint"] = name
            made["config"]["concepts"] = {"name": "default"}
            components = {**experiment.component_keys(), "seed": made["components"]["seed"]}
            write(tmp_path, f"{name}-{method}", made | {"components": components})
    assert main([str(tmp_path), "--table", "table2"]) == 0
    table = capsys.readouterr().out
    assert "Ours: mean ± sd over 3 seeds of the data; gold=valid; 6 of 8 finished runs." in table
    assert "2 runs are left out, because the sweep of table2 does not ask for them: dataset.n_train=120" in table


def test_overrides_of_the_sweep_are_filters_of_its_table() -> None:
    given = ["logger=wandb", "force=true", "hydra/launcher=basic", "paths.data=d", "+experiment=table8", "debug=trace"]
    given += ["seed=range(0,2)", "dataset=youtube,sms", "++end_model.max_epochs=3", "llm.model=claude (a, b)"]
    given += ["label_model=glob(*majority)", "dataset.limit=null", "gold='none'"]
    assert filters_of(given) == {
        "seed": ["0", "1"],
        "dataset": ["youtube", "sms"],
        "end_model.max_epochs": ["3"],
        "llm.model": ["claude (a", " b)"],
        "label_model": ["majority", "weighted_majority"],
        "dataset.limit": ["null"],
        "gold": ["none"],
    }


def test_a_record_of_an_older_schema_is_named_and_left_out(outputs: Path, capsys) -> None:
    (outputs / "runs" / "broken" / "record.json").write_text(json.dumps(record() | {"schema_version": 1}))
    assert main([str(outputs), "--table", "table8"]) == 0
    captured = capsys.readouterr()
    assert "2 of 2 finished runs" in captured.out
    assert "has schema version 1" in captured.err
    assert "run it again with `alchemist run`" in captured.err
    listed = run_alchemist("status", ".", cwd=outputs)
    assert listed.stdout.splitlines()[-1] == "2 done"
    assert "has schema version 1" in listed.stderr


def test_many_records_of_an_older_schema_are_one_sentence(tmp_path: Path, capsys) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path, name, record() | {"schema_version": 1})
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    (said,) = capsys.readouterr().err.splitlines()
    assert said.count("schema version 1") == 1
    assert said.endswith("It is one of 3 such records.")


@pytest.mark.parametrize(("out", "option"), [("table.csv", "-o FILE"), ("tables", "-o DIR")])
def test_an_existing_file_is_replaced_only_on_demand(
    outputs: Path, failing: Callable[..., str], out: str, option: str
) -> None:
    shutil.rmtree(outputs / "runs" / "broken")
    file = outputs / out if option == "-o FILE" else outputs / out / "compare.md"
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    refused = failing(str(outputs), "dataset=sms", "-o", str(outputs / out))
    assert f"{str(file)!r} exists; name another one by {option}, or replace it by --overwrite." in refused
    assert [path.name for path in file.parent.iterdir() if path.is_file()] == [file.name]
    assert main([str(outputs), "dataset=sms", "-o", str(outputs / out), "--overwrite"]) == 0
    assert "sms" in file.read_text()


def test_a_figure_without_runs_cannot_be_drawn(outputs: Path, failing: Callable[..., str]) -> None:
    (outputs / "runs" / "broken" / "record.json").unlink()
    assert "there is no finished run to draw" in failing(
        str(outputs), "--table", "figure5", "--out", str(outputs / "x.svg")
    )


@pytest.mark.parametrize(("arguments", "composes"), [((), False), (("--table", "table8"), True)])
def test_comparing_needs_nothing_heavy(outputs: Path, arguments: tuple[str, ...], composes: bool) -> None:
    code = (
        "import sys; from alchemist_exp.cli.compare import main\n"
        f"main([{str(outputs)!r}, *{arguments!r}, '--format', 'csv'])\n"
        "heavy = {'torch', 'pytorch_lightning', 'datasets', 'wandb', 'snorkel', 'sklearn', 'hydra', 'matplotlib'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=REPOSITORY)
    assert done.stdout.splitlines()[-1] == f"HEAVY {['hydra'] * composes}", done.stderr


def test_a_sweep_its_status_and_its_table(
    cli: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ("+experiment=tiny", "method.n_programs=1", "end_model.max_epochs=1", "label_model=majority")
    done = cli(*tiny)
    assert done.returncode == 0, done.stderr
    sweep = ("-m", *tiny, "dataset=youtube,sms,cancer")
    listed = run_alchemist("status", "outputs", *sweep, cwd=tmp_path)
    assert listed.returncode == 1, listed.stderr
    lines = listed.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["done", "missing", "missing", "1"]
    assert "the files of dataset 'cancer' are not at" in lines[2]
    assert lines[3] == "1 done, 2 missing"
    (made,) = (tmp_path / "outputs" / "runs").glob("*/record.json")
    score = read_json(made, what="")["end_model"]["metrics"]["test"]["accuracy"]["mean"]
    assert main([str(tmp_path / "outputs")]) == 0
    assert f"{score:.3f}" in capsys.readouterr().out


def test_the_status_of_failed_and_killed_runs(tmp_path: Path) -> None:
    unfinished = {name: {} for name in ("label_model", "end_model", "programs", "cost")}
    write(tmp_path / "outputs", "failed", record() | unfinished | {"status": "failed", "error": "no\x1b[2J programs"})
    write(tmp_path / "outputs", "killed", record({"dataset": "sms"}) | unfinished | {"status": "started"})
    done = run_alchemist("status", "outputs", cwd=tmp_path)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("failed   failed          youtube · alchemist · snorkel · tfidf · seed five")
    assert lines[0].endswith("no\\x1b[2J programs")
    assert lines[1].startswith("killed   killed          sms")
    assert lines[2] == "1 failed, 1 killed"


def test_an_interrupted_run_is_named_so(tmp_path: Path) -> None:
    unfinished = {name: {} for name in ("label_model", "end_model", "programs", "cost")}
    for word in ("interrupted", "terminated"):
        write(tmp_path / "outputs", word, record() | unfinished | {"status": "failed", "error": word})
    done = run_alchemist("status", "--outputs", "outputs", cwd=tmp_path)
    assert done.returncode == 1
    assert [line.split()[0] for line in done.stdout.splitlines()[:2]] == ["interrupted", "interrupted"]
    assert done.stdout.splitlines()[-1] == "2 interrupted"
    shown = run_alchemist("show", "terminated", cwd=tmp_path)
    assert "was terminated before it finished; run it again" in shown.stderr
    assert "2 directories" in run_alchemist("clean", "unfinished", "--dry-run", cwd=tmp_path).stdout


MEMBERS = {
    "defaults": ({}, "youtube · alchemist · snorkel · tfidf · seed five"),
    "others": (
        {"llm": "openai", "supplement": "rag", "feature_extractor": "minilm", "gold": "none"},
        "youtube · alchemist · openai · rag · snorkel · minilm · seed five · gold none",
    ),
    "no LLM": ({"method": "program_files", "llm": "openai"}, "youtube · program_files · snorkel · tfidf · seed five"),
    "own file": ({"dataset": "files"}, "files youtube · alchemist · snorkel · tfidf · seed five"),
}


@pytest.mark.parametrize("case", MEMBERS)
def test_a_runs_name_is_the_same_in_every_list(tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    members, name = MEMBERS[case]
    write(tmp_path, "one", record(members))
    run = index_runs(tmp_path).runs.loc["one"]
    assert run_name(run) == name
    assert run_name(members_of(RunRecord(**read_json(tmp_path / "runs" / "one" / "record.json", what="")))) == name
    assert clean.main([str(tmp_path), "runs", "--dry-run"]) == 0
    assert name in capsys.readouterr().out


def test_the_outputs_directory_is_named_in_the_same_ways(outputs: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(outputs.parent)
    (outputs.parent / "outputs").symlink_to(outputs)
    for arguments in ([], ["outputs"], ["--outputs", str(outputs)]):
        assert main(["dataset=sms", *arguments, "-o", "table.csv", "--overwrite"]) == 0
        assert clean.main([*arguments, "--dry-run"]) == 0
        listed = capsys.readouterr().out
        assert "runs, done" in listed
        assert "sms" in Path("table.csv").read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("absent",), "absent has no directory runs/"),
        ((".", "absent"), "'absent' is not an override"),
        ((".", "+experiment=tabel8"), "experiment 'tabel8' is unknown; did you mean 'table8'?"),
    ],
)
def test_wrong_arguments_of_status_are_one_sentence(tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    (tmp_path / "runs").mkdir()
    done = run_alchemist("status", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1
