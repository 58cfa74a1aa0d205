"""`alchemist explain` shows the votes, lines and beliefs from which a row of a finished run has its label."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from alchemist_exp.cli.explain import main
from alchemist_exp.core.terminal import escape_controls
from alchemist_exp.core.types import Split
from alchemist_exp.labeling.components import Consent
from alchemist_exp.labeling.explanation import Explainer, enclosing_condition, make_explainer
from alchemist_exp.labeling.run_files import open_run
from alchemist_exp.labeling.stored_rows import read_row

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def explainer(finished: Path) -> Explainer:
    return make_explainer(open_run(finished), Consent(), "seccomp")


@pytest.fixture(scope="module")
def labels(finished: Path) -> pd.DataFrame:
    found = pd.read_parquet(finished / "labels.parquet")
    return found[found["split"] == "train"]


def refused(arguments: list[str], capsys: Capture) -> str:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "Traceback" not in said
    return said


def test_a_row_has_the_votes_and_labels_of_the_run(explainer: Explainer, finished: Path, labels: pd.DataFrame) -> None:
    voted = labels[labels["weak_label"].notna()].iloc[0]
    stored = read_row(open_run(finished), explainer.kind, Split.TRAIN, int(voted["row"]), explainer.vote_columns)
    assert stored.row == voted["text"]
    explanation = explainer.explain(stored.row)
    assert explainer.voting is not None
    assert explanation.label_model is not None
    assert explanation.distilled is not None
    assert explanation.label_model.probs == pytest.approx({name: voted[f"p({name})"] for name in explainer.classes})
    assert explanation.distilled.label == voted["predicted"]
    assert max(explanation.distilled.probs.values()) == pytest.approx(voted["confidence"], abs=1e-5)
    record = json.loads((finished / "record.json").read_text(encoding="utf-8"))
    influences = {program["file"]: program["influence"] for program in record["programs"]["list"]}
    for vote, column, source in zip(explanation.votes, explainer.vote_columns, explainer.voting.sources, strict=True):
        assert vote.vote == (None if pd.isna(voted[column]) else voted[column])
        assert vote.influence == influences[vote.program]
        assert vote.line is not None
        assert "return" in vote.source
        assert vote.source == source.split("\n")[vote.line - 1]
        assert (vote.without is None) == (vote.vote is None)


def test_leaving_out_the_only_vote_leaves_no_label(explainer: Explainer, labels: pd.DataFrame) -> None:
    columns = explainer.vote_columns
    single = labels[labels[columns].notna().sum(axis=1) == 1]
    assert len(single)
    explanation = explainer.explain(single.iloc[0]["text"])
    (vote,) = (vote for vote in explanation.votes if vote.vote)
    assert vote.without is not None
    assert vote.without.label is None


def test_the_condition_around_a_line() -> None:
    source = "def f(t):\n  if '\\d' in t:\n    return 1\n  elif (a or\n    b):\n    return 0\n  return -1\n"
    conditions = [enclosing_condition(source, line) for line in (3, 6, 7)]
    assert conditions == ["if '\\d' in t", "if a or b", ""]
    assert enclosing_condition("def (", 1) == ""


def test_json_and_screen(finished: Path, labels: pd.DataFrame, capsys: Capture) -> None:
    row = labels.iloc[3]
    arguments = [str(finished), "--row", str(row["row"]), "--sandbox", "seccomp"]
    assert main([*arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (found["split"], found["row"], found["text"], found["gold"]) == ("train", 3, row["text"], row["gold"])
    assert found["notes"] == []
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "train row 3" in shown
    assert escape_controls(row["text"]) in shown
    for vote in found["votes"]:
        assert vote["program"] in shown
        assert vote["source"].strip() in shown
    assert main([str(finished), "--text", "free \x1b[31mmoney", "--sandbox", "seccomp"]) == 0
    shown = capsys.readouterr().out
    assert "free \\x1b[31mmoney" in shown
    assert "gold" not in shown


def test_what_cannot_be_explained_is_one_sentence(finished: Path, labels: pd.DataFrame, capsys: Capture) -> None:
    run, last = str(finished), labels["row"].max()
    for arguments, message in (
        ([run, "--row", "99999"], f"--row is 99999; the rows of train are numbered from 0 to {last}."),
        ([run, "--row", "-1"], "invalid number '-1'; expected a whole number, 0 or more"),
        ([run], "one of the arguments --row --text is required"),
        ([run, "--row", "1", "--split", "dev"], "invalid choice: 'dev'"),
        ([run, "--text", "a", "--split", "test"], "--split is for --row; a text is in no split."),
        ([run, "--text", " "], "--text has no content, so it gets no label."),
        ([f"{run}/none", "--row", "1"], "there is no run"),
    ):
        assert message in refused(arguments, capsys)


def test_other_files_of_a_run_are_data(copied: Path, labels: pd.DataFrame, capsys: Capture) -> None:
    file = copied / "labels.parquet"
    whole = pd.read_parquet(file)
    whole[whole["split"] != "valid"].to_parquet(file)
    said = refused([str(copied), "--row", "1", "--split", "valid"], capsys)
    assert "--split is valid, but the run has no rows of that split; choose train or test." in said
    whole.drop(columns="text").to_parquet(file)
    assert "cannot be read" in refused([str(copied), "--row", "1"], capsys)
    whole.assign(text=np.nan).to_parquet(file)
    assert "row 1 of train has no content" in refused([str(copied), "--row", "1"], capsys)
    whole.assign(weak_label="\x1b[31m").to_parquet(file)
    assert main([str(copied), "--row", "1", "--sandbox", "seccomp"]) == 0
    assert "the label of this row is none" in capsys.readouterr().out.replace("\n", " ")
    file.write_text("no parquet")
    assert "cannot be read" in refused([str(copied), "--row", "1"], capsys)
    file.unlink()
    file.symlink_to("/dev/zero")
    assert "it is not a regular file" in refused([str(copied), "--row", "1"], capsys)


def test_a_run_without_programs_or_model_shows_the_rest(copied: Path, capsys: Capture) -> None:
    shutil.rmtree(copied / "label_model")
    assert main([str(copied), "--row", "1"]) == 0
    shown = capsys.readouterr().out
    assert "distilled model" in shown
    assert "has no programs that can vote" in shown
    shutil.rmtree(copied / "model")
    assert "neither programs that can vote nor a distilled model" in refused([str(copied), "--row", "1"], capsys)
