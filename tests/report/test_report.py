"""`alchemist report`: contents, escaping, and the page in a browser."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from alchemist_exp.cli import report
from alchemist_exp.core.atomic_io import read_json, write_json
from alchemist_exp.report import html
from alchemist_exp.report.blocks import Page, PageSection, RowCard, RowExplanation, RowReason, Rows
from alchemist_exp.results.paper_tables import TABLES
from tests.report.hostile_run import ATTACK, CLASSES, write_run
from tests.results.test_tables import write_all
from tests.support.chromium import browser_page
from tests.support.records import record, write

SECTIONS = (
    "repeat",
    "scores",
    "cost",
    "funnel",
    "programs",
    "classes",
    "calibration",
    "training",
    "slices",
    "rows",
    "notes",
)


class Elements(HTMLParser):
    """Collects the elements of a page and its texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def ids(self, tag: str) -> list[str | None]:
        return [attributes.get("id") for name, attributes in self.found if name == tag]


def page_of(directory: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert report.main([str(directory)]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {directory}/report.html (")
    return (directory / "report.html").read_text("utf-8")


def test_a_report_has_all_sections_and_executes_no_text_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = page_of(write_run(tmp_path / "run"), capsys)
    elements = Elements(page)
    assert tuple(elements.ids("section")) == SECTIONS
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 1
    assert "img" not in tags
    attributes = {name for _, of_tag in elements.found for name in of_tag}
    assert not {name for name in attributes if name.startswith("on") or name in ("src", "style")}
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "49 }}" not in page
    text = " ".join(" ".join(elements.texts).split())
    assert ATTACK.split("\x1b")[0] in text
    for expected in (
        "0.925 ± 0.010",
        "0.850 to 1.000",  # of 37 right rows of 40
        "programs cost less from 6 rows on",
        "3 of 40 rows of test repeat a text of train or valid (1 of them without a change)",
        "Wrong votes: 6 of 8 (32 votes on rows of train with gold labels)",
        "expected calibration error 0.400 over 39 rows",
        "expected calibration error 0.025 over 40 rows",
        "wrong 3 of 3",
        "uncovered 1 of 1",
        "conflicting 8 of 8",
        "score on held-out rows of train (weak labels) by epoch",  # no gold labels of valid were used
    ):
        assert expected in text


def test_the_page_works_in_a_browser_without_a_request(tmp_path: Path) -> None:
    directory = write_run(tmp_path / "run")
    path = report.write_run_report(directory)
    with browser_page(tmp_path / "profile") as page:
        page.open(path)
        assert page.evaluate("typeof planted") == "undefined"
        shown = "[...document.querySelectorAll('.sample .row')].filter((row) => !row.hidden).length"
        assert page.evaluate(shown) == 40
        page.evaluate("document.querySelector('[data-flag=wrong]').click()")
        assert page.evaluate(shown) == 3
        page.evaluate("document.querySelector('[data-flag=\"\"]').click()")
        search = "(text) => { const field = document.querySelector('input'); field.value = text; "
        search += "field.dispatchEvent(new Event('input')); }"
        page.evaluate(f"({search})('train 17')")
        assert page.evaluate(shown) == 1
        assert page.evaluate("document.querySelector('output').textContent") == "1 of 40 rows are shown."
        first = "document.querySelector('#scores tbody td').textContent"
        before = page.evaluate(first)
        click = "document.querySelectorAll('#scores th button')[0].click()"
        page.evaluate(click)
        page.evaluate(click)
        assert before == "distilled mlp"
        assert page.evaluate(first) == "snorkel"
        assert page.evaluate("document.querySelector('#scores th').getAttribute('aria-sort')") == "descending"
        page.evaluate("document.querySelector('[href=\"#program-1\"]').click()")
        opened = "document.getElementById('program-1').open"
        assert any(page.evaluate(opened) for _ in range(200))  # the event of the link comes later
        assert page.requests == [path.as_uri()]
        assert page.messages == []


def test_texts_of_explanations_are_escaped() -> None:
    texts = ("program", "href", "vote", "influence", "without", "line", "source")
    reason = RowReason(wrong=True, **dict.fromkeys(texts, ATTACK))
    explanation = RowExplanation(posterior=[(ATTACK, ATTACK)], reasons=[reason], notes=[ATTACK])
    rows = Rows(rows=[RowCard(place=ATTACK, content=ATTACK, explanation=explanation)], title=ATTACK)
    section = PageSection(id="rows", title=ATTACK, blocks=[rows])
    elements = Elements(html.render(Page(title=ATTACK, subtitle=ATTACK, warnings=[ATTACK], sections=[section])))
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == 1
    assert "img" not in tags
    assert tags.count("td") == len(texts) - 1
    assert not {name for _, of_tag in elements.found for name in of_tag if name.startswith("on")}


def test_a_large_report_shows_fewer_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = write_run(tmp_path / "run")
    whole = report.write_run_report(directory).read_text("utf-8")
    monkeypatch.setattr(html, "MAX_BYTES", len(whole) - 1)
    smaller = report.write_run_report(directory).read_text("utf-8")
    assert len(smaller) < len(whole)
    assert "Wrong votes: 2 of 8" in smaller


def test_the_report_of_a_sweep_has_settings_seeds_figure5_and_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_all(tmp_path, "figure5")
    usd = record()["cost"]["break_even"] | {"zero_shot_usd": 5.0}
    members = {"dataset": TABLES["figure5"].datasets[0], "method": "zero_shot"}
    write(tmp_path, "zero", record(members, seeds=(0,), cost=record()["cost"] | {"break_even": usd}))
    failed = {name: value for name, value in record().items() if name in ("schema_version", "started_at", "overrides")}
    write(tmp_path, "failed", record(status="failed", error=ATTACK) | failed)
    elements = Elements(page_of(tmp_path, capsys))
    assert elements.ids("section") == ["runs", "settings", "spread", "cost", "figure5", "notes"]
    assert [tag for tag, _ in elements.found].count("script") == 1
    text = " ".join(elements.texts)
    assert "programs drawn from each strategy" in text
    assert "Runs without a result (1 of 1)" in text
    assert ATTACK.split("\x1b")[0] in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "started"}, "has started, not finished; a report is made of a finished run."),
        ({"cost": [1]}, "is broken (TypeError: "),
        ({"programs": {"list": "x"}}, "is broken ("),
        ({"data": {"classes": CLASSES[:1]}}, "it has 1 classes; expected 2 to"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], expected: str
) -> None:
    refuse([str(write_run(tmp_path / "run", **changes))], expected, capsys)


def test_files_of_others_that_are_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = write_run(tmp_path / "run")
    refuse([str(directory), "-o", "report.pdf"], "has to end in .html", capsys)
    other = tmp_path / "mine.html"
    generator = '<meta name="generator" content="alchemist 1">\n'  # as in a page about reports
    other.write_text(f"<!doctype html>\n<html>\n<head>\n</head>\n<pre>\n{generator}", encoding="utf-8")
    refuse([str(directory), "-o", str(other)], "exists and is not a report; name another file by -o FILE", capsys)
    refuse([str(directory), "-o", str(other), "--force"], "'--force' is now called '--overwrite'", capsys)
    for arguments in (["--overwrite"], []):  # the second one replaces a report
        assert report.main([str(directory), "-o", str(other), *arguments]) == 0
    capsys.readouterr()
    refuse([str(tmp_path / "absent")], "there is no run", capsys)
    labels = directory / "labels.parquet"
    labels.rename(tmp_path / "elsewhere.parquet")
    labels.symlink_to(tmp_path / "elsewhere.parquet")
    refuse([str(directory)], "is not a regular file", capsys)
    labels.unlink()
    labels.write_bytes(b"PAR1")
    refuse([str(directory)], "labels.parquet is broken", capsys)
    labels.unlink()
    made = read_json(directory / "record.json", what="")
    made["programs"]["list"][0]["file"] = "../record.json"
    write_json(directory / "record.json", made)
    elements = Elements(page_of(directory, capsys))  # without rows, and without the file outside of programs/
    assert "rows" not in elements.ids("section")
    assert "schema_version" not in " ".join(elements.texts)


def refuse(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        report.main(arguments)
    printed = capsys.readouterr().err
    assert expected in printed
    assert printed.count("\n") == 1
