"""The report explains the rows of its sample as `alchemist explain` does."""

import json
from pathlib import Path

import numpy as np
import pytest

from alchemist_exp.cli.report import write_run_report
from alchemist_exp.core.types import ABSTAIN
from alchemist_exp.labeling.components import Consent
from alchemist_exp.labeling.explanation import make_explainer
from alchemist_exp.labeling.run_files import StoredRun, open_run
from alchemist_exp.report.blocks import shorten
from alchemist_exp.report.explanations import Explanations, explain_rows
from alchemist_exp.report.rows import LabeledRows, read_rows
from alchemist_exp.report.samples import RowSampler


def explained(run: StoredRun) -> tuple[RowSampler, Explanations]:
    names = [one["file"] for one in run.record.programs["list"]]
    rows = read_rows(run.directory, run.classes, names)
    assert isinstance(rows, LabeledRows)
    sampler = RowSampler(rows=rows, classes=run.classes, programs=names, pictures=None)
    return sampler, explain_rows(run, rows, names, sampler.chosen)


def test_the_sample_has_the_beliefs_and_lines_of_explain(finished: Path) -> None:
    run = open_run(finished)
    sampler, explanations = explained(run)
    rows = sampler.rows
    assert explanations.notes == ()
    assert [name for name, flag in sampler.flags.items() if flag[sampler.chosen].any()] == [
        name for name, flag in sampler.flags.items() if (flag & sampler.audited).any()
    ]
    for row in sampler.chosen:
        found = explanations.of_row(row)
        if found is None:
            assert (rows.votes[row] == ABSTAIN).all()
            continue
        assert not found.notes
        assert float(found.posterior[0][1]) == pytest.approx(float(rows.weak_share[row]), abs=1e-3)
        assert len(found.reasons) == (rows.votes[row] != ABSTAIN).sum()
    explainer = make_explainer(run, Consent(), "seccomp")
    conflicting = next(row for row in sampler.chosen if sampler.flags["conflicting"][row])
    single = next(row for row in sampler.chosen if (rows.votes[row] != ABSTAIN).sum() == 1)
    for row in (conflicting, single):
        found, whole = explanations.of_row(row), explainer.explain(rows.text(row))
        assert found is not None
        for vote in whole.votes:
            reasons = [one for one in found.reasons if one.program == vote.program]
            assert bool(reasons) == (vote.vote is not None)
            for one in reasons:
                assert (one.vote, one.line) == (vote.vote, str(vote.line))
                assert one.source.startswith(shorten(vote.source.strip(), 100))
                assert vote.without is not None
                shown = (
                    "no label" if vote.without.label is None else f"{vote.without.probs[whole.label_model.label]:.3f}"
                )
                assert one.without.startswith(shown)


def test_a_smaller_sample_is_part_of_a_larger_one(finished: Path) -> None:
    sampler, _ = explained(open_run(finished))
    smaller = RowSampler(
        rows=sampler.rows, classes=sampler.classes, programs=sampler.programs, pictures=None, share=0.05
    )
    assert len(smaller.chosen) < len(sampler.chosen)
    assert {*smaller.chosen} <= {*sampler.chosen}


def test_what_cannot_be_explained_is_a_note_in_the_page(copied: Path) -> None:
    record = copied / "record.json"
    made = json.loads(record.read_text(encoding="utf-8"))
    made["programs"]["list"][0]["cpu_seconds"] = 1e9
    record.write_text(json.dumps(made), encoding="utf-8")
    page = write_run_report(copied).read_text("utf-8")
    assert 'class="why"' in page
    assert "The lines that returned the votes are not shown: the programs would take about" in page
    for file in (copied / "label_model").glob("*.npy"):
        np.save(file, np.full_like(np.load(file), np.nan))
    page = write_run_report(copied).read_text("utf-8")
    assert 'class="why"' not in page
    assert "What each vote does is not shown: " in page
