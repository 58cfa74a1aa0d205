"""The curve of score against dollars of runs with method=hybrid."""

import pandas as pd

from alchemist_exp.report.sweep_sections import cost_curve_chart
from alchemist_exp.results.cost_curve import cost_curves, cost_grids

COLUMNS = ("dataset", "method", "method.n_rows", "label_model", "list price", "distilled", "asked rows")
NAN = float("nan")


def lines(*rows: tuple[object, ...]) -> pd.DataFrame:
    found = pd.DataFrame([dict(zip(COLUMNS, row, strict=True)) for row in rows])
    return found.assign(sd=0.01, score="accuracy", split="test", spent=0.0, runs=[f"run{i}" for i in range(len(found))])


NO_ESTIMATE = pd.Series(NAN, index=range(6))

ALL = lines(
    ("news", "zero_shot", "-", "-", 0.2, 0.76, NAN),
    ("news", "hybrid", "100", "snorkel", 0.02, 0.73, 97),
    ("news", "alchemist", "-", "snorkel", 0.01, 0.72, NAN),
    ("news", "hybrid", "null", "snorkel", 0.08, 0.74, 1168),
    ("news", "alchemist", "-", "majority", 0.01, 0.70, NAN),
    ("mail", "alchemist", "-", "snorkel", 0.01, 0.90, NAN),
)


def test_the_curve_begins_with_programs_and_ends_with_zero_shot() -> None:
    (curve,) = cost_curves(ALL)
    assert curve["method"].tolist() == ["alchemist", "hybrid", "hybrid", "zero_shot"]
    assert curve["distilled"].tolist() == [0.72, 0.73, 0.74, 0.76]
    (grid,) = cost_grids(ALL, NO_ESTIMATE)
    assert grid.frame.reset_index()["asked rows"].tolist() == ["0", "97", "1,168", "all"]
    assert grid.frame["list price"].tolist() == ["$0.0100", "$0.0200", "$0.0800", "$0.2000"]


def test_the_plot_names_both_ends() -> None:
    svg = str(cost_curve_chart(cost_curves(ALL)[0]).svg)
    assert "polyline" in svg
    assert ">0 rows<" in svg
    assert ">all rows<" in svg


def test_without_hybrid_runs_or_their_programs_there_is_no_curve() -> None:
    assert cost_grids(ALL[ALL["method"] != "hybrid"], NO_ESTIMATE) == []
    assert cost_grids(ALL.drop(columns="asked rows"), NO_ESTIMATE) == []
    assert cost_grids(ALL.iloc[[1]], NO_ESTIMATE) == []


def test_without_a_zero_shot_run_the_last_line_is_its_estimated_price() -> None:
    (grid,) = cost_grids(ALL.iloc[1:], pd.Series(0.25, index=range(6)))
    last = grid.frame.reset_index().iloc[-1]
    assert last[["labeled by", "asked rows", "list price", "distilled"]].tolist() == ["LLM", "all", "$0.2500", "-"]


def test_other_columns_neither_hide_nor_join_curves() -> None:
    assert len(cost_curves(ALL.assign(**{"worst group, distilled": NAN}))) == 1  # a run of another dataset has groups
    other = ALL.assign(**{"method.n_programs": "30"})
    curves = cost_curves(pd.concat([ALL.assign(**{"method.n_programs": "10"}), other], ignore_index=True))
    assert [curve["method"].tolist() for curve in curves] == [["alchemist", "hybrid", "hybrid", "zero_shot"]] * 2


def test_the_estimate_replaces_no_run() -> None:
    (grid,) = cost_grids(ALL.iloc[[1, 2]].set_axis([2, 3]), pd.Series(0.25, index=[2, 3]))
    assert grid.frame["list price"].tolist() == ["$0.0100", "$0.0200", "$0.2500"]
