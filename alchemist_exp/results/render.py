"""A report as text, Markdown, CSV, LaTeX or one self-contained HTML page.

Names, errors and warnings come from records, and so from other people's files and servers. Every text is escaped, first
for control characters and then for the format, so that nothing in it acts on a terminal, a browser, LaTeX or a
spreadsheet. pandas' own writers are used for CSV only: for the other formats they have no groups of columns cut to a
width, no rules under groups, no row headings for screen readers, or they need a package that is not a dependency.
"""

import dataclasses
import functools
import html
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from alchemist_exp.core.terminal import single_line, without_formula
from alchemist_exp.results.report import Grid, MissingResult, Report

DEFAULT_WIDTH = 120
"""Columns of a terminal where the output is not a terminal."""


def _escaped(value: Any) -> Any:
    """Return a report, or a part of one, with the control characters of its texts escaped."""
    match value:
        case str():
            return single_line(value)
        case list() | tuple():
            return [_escaped(item) for item in value]
        case Grid() | MissingResult() | Report():
            names = [f.name for f in dataclasses.fields(value) if f.name not in ("frame", "flat", "svg", "of_sweep")]
            return dataclasses.replace(value, **{name: _escaped(getattr(value, name)) for name in names})
    raise TypeError(f"a report has a {type(value).__name__}")


def as_text(report: Report, width: int = DEFAULT_WIDTH) -> str:
    """Return the report for a terminal.

    Args:
        report: What to write.
        width: Columns of the terminal. A table that is wider is cut between groups of columns.

    Returns:
        Lines of text, the last one ended too.

    """
    report = _escaped(report)
    wrap = functools.partial(textwrap.fill, width=max(width, 40), subsequent_indent="  ", break_on_hyphens=False)
    lines = ["", report.title, *map(wrap, report.captions)]
    for grid in report.grids:
        for number, part in enumerate(grid.parts(width)):
            title = part.title and f"{part.title}{' (continued)' * bool(number)}"
            lines += ["", *filter(None, [title]), *_aligned(part)]
    if report.notes:
        lines += ["", *(wrap(f"! {note}") for note in report.notes)]
    if report.missing:
        lines += ["", f"Missing results ({len(report.missing)}):"]
        for one in report.missing:
            lines += [f"  {one.place}: {one.reason}", f"    {one.command}"]
        lines += ["The whole sweep:", f"    {report.sweep_command}"]
    return "\n".join(lines) + "\n"


def _aligned(grid: Grid) -> list[str]:
    """Return the grid's lines: columns aligned, cells to the right, repeated labels left out."""
    left = len(grid.stubs)
    body = [[*labels, *cells] for labels, (_, cells) in zip(grid.labels, grid.rows, strict=True)]
    names = [*grid.stubs, *(name for _, name in grid.columns)]
    widths = [max(map(cell_len, cells)) for cells in zip(names, *body, strict=True)]
    heads = [" " * (sum(widths[:left]) + 2 * (left - 1))]
    for group, start, stop in grid.spans:
        span = sum(widths[left + start : left + stop]) + 2 * (stop - start - 1)
        widths[left + stop - 1] += max(0, cell_len(group) - span)
        heads.append(group.center(max(span, cell_len(group)), "─" if stop - start > 1 and group else " "))
    lines = ["  ".join(heads).rstrip()] if any(group for group, _, _ in grid.spans) else []
    for cells in (names, *body):
        spaces = [" " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)]
        padded = [
            cell + space if i < left else space + cell
            for i, (cell, space) in enumerate(zip(cells, spaces, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def as_markdown(report: Report) -> str:
    """Return the report for a README or an issue.

    Args:
        report: What to write.

    Returns:
        Markdown. Each column's heading names its group too.

    """
    report = _escaped(report)
    parts = [f"## {_markdown(report.title)}", *map(_markdown, report.captions)]
    for grid in report.grids:
        names = [*grid.stubs, *(" ".join(filter(None, column)) for column in grid.columns)]
        rows = [names, *([*labels, *cells] for labels, cells in grid.rows)]
        lines = ["| " + " | ".join(map(_markdown, row)) + " |" for row in rows]
        lines.insert(1, "| " + " | ".join(["---"] * len(grid.stubs) + ["---:"] * len(grid.columns)) + " |")
        parts += [f"### {_markdown(grid.title)}"] * bool(grid.title) + ["\n".join(lines)]
    if report.notes:
        parts.append("\n".join(f"- {_markdown(note)}" for note in report.notes))
    if report.missing:
        parts.append("### Missing results")
        parts += [
            f"- {_markdown(one.place)}: {_markdown(one.reason)}\n\n  {_code(one.command)}" for one in report.missing
        ]
        parts.append(f"The whole sweep: {_code(report.sweep_command)}")
    return "\n\n".join(parts) + "\n"


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_{}\[\]#|~$])", r"\\\1", text)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(command: str) -> str:
    """Return a code span that no backtick of the command ends."""
    fence = "`" * (1 + max(map(len, re.findall("`+", command)), default=0))
    return f"{fence} {command} {fence}" if "`" in command else f"{fence}{command}{fence}"


def as_csv(report: Report) -> str:
    """Return the results for a spreadsheet or a program; captions and notes are not part of it.

    Args:
        report: What to write.

    Returns:
        One line for each result, in full precision.

    """

    def _cell(value: Any) -> Any:
        if not isinstance(value, str):
            return str(value)  # as text, because pandas would turn a column's integers into floats
        return without_formula(single_line(value))

    values = report.flat.astype(object).where(report.flat.notna(), "")
    text: str = values.map(_cell).rename(columns=_cell).to_csv(index=False, lineterminator="\n")
    return text


def as_latex(report: Report) -> str:
    """Return the report's tables for LaTeX with the package booktabs.

    Args:
        report: What to write.

    Returns:
        A table environment for each part of a grid that fits a page; notes are comments.

    """
    report = _escaped(report)
    parts = [f"% {report.title}; needs \\usepackage{{booktabs}}"]
    caption = f"{report.title}. {' '.join(report.captions)}"
    parts += [_tabular(part, part.title or caption) for grid in report.grids for part in grid.parts(DEFAULT_WIDTH)]
    parts += [f"% {note}" for note in report.notes]
    parts += [f"% missing: {one.place}: {one.reason}" for one in report.missing]
    return "\n".join(parts) + "\n"


def _tabular(grid: Grid, caption: str) -> str:
    left, spans = len(grid.stubs), grid.spans
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{_latex(caption)}}}",
        rf"\begin{{tabular}}{{{'l' * left}{'r' * len(grid.columns)}}}",
        r"\toprule",
    ]
    if any(group for group, _, _ in spans):
        heads = [rf"\multicolumn{{{stop - start}}}{{c}}{{{_latex(group)}}}" for group, start, stop in spans]
        lines.append(" & ".join([""] * left + heads) + r" \\")
        lines += [rf"\cmidrule(lr){{{left + start + 1}-{left + stop}}}" for group, start, stop in spans if group]
    rows = [[*labels, *cells] for labels, (_, cells) in zip(grid.labels, grid.rows, strict=True)]
    lines += [
        " & ".join(map(_latex, row)) + r" \\" for row in ([*grid.stubs, *(name for _, name in grid.columns)], *rows)
    ]
    lines.insert(len(lines) - len(rows), r"\midrule")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "±": r"$\pm$", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def as_html(report: Report) -> str:
    """Return the report for a browser.

    Args:
        report: What to write.

    Returns:
        One page that runs no script and loads nothing.

    """
    report = _escaped(report)
    text = html.escape
    body = [f"<h1>{text(report.title)}</h1>", *(f'<p class="caption">{text(one)}</p>' for one in report.captions)]
    if report.svg:
        body.append(f"<figure>{report.svg[report.svg.index('<svg') :]}</figure>")
    body += map(_html_table, report.grids)
    if report.notes:
        body.append("<h2>Notes</h2><ul>" + "".join(f"<li>{text(note)}</li>" for note in report.notes) + "</ul>")
    if report.missing:
        items = "".join(
            f"<li><b>{text(one.place)}</b>: {text(one.reason)}<br><code>{text(one.command)}</code></li>"
            for one in report.missing
        )
        sweep = f"<p>The whole sweep: <code>{text(report.sweep_command)}</code></p>"
        body.append(
            f"<details open><summary>Missing results: {len(report.missing)}</summary><ul>{items}</ul>{sweep}</details>"
        )
    head, tail = Path(__file__).with_name("page.html").read_text(encoding="utf-8").split("{body}")
    return "\n".join([head.replace("{title}", text(report.title)), *body]) + tail


def _html_table(grid: Grid) -> str:
    starts = {start for _, start, _ in grid.spans}

    def _cell(tag: str, content: str, column: int, ours: Sequence[str]) -> str:
        """Return a cell; one with a result of ours, and the first of a group, have classes."""
        classes = ["ours"] * any(re.search(r"\bours\b", name) for name in ours) + ["start"] * (column in starts)
        attribute = f' class="{" ".join(classes)}"' if classes else ""
        return f"<{tag}{attribute}>{html.escape(content)}</{tag}>"

    heads = []
    if any(group for group, _, _ in grid.spans):
        groups = [
            f'<th colspan="{stop - start}" class="group">{html.escape(name)}</th>' for name, start, stop in grid.spans
        ]
        heads.append("<th></th>" * len(grid.stubs) + "".join(groups))
    names = [f"<th>{html.escape(name)}</th>" for name in grid.stubs]
    heads.append("".join(names + [_cell("th", name, i, [name]) for i, (_, name) in enumerate(grid.columns)]))
    rows = []
    for shown, (labels, cells) in zip(grid.labels, grid.rows, strict=True):
        stubs = "".join(f'<th scope="row">{html.escape(label)}</th>' for label in shown)
        texts = [_cell("td", one, i, [grid.columns[i][1], *labels]) for i, one in enumerate(cells)]
        first = ' class="first"' if shown[0] else ""
        rows.append(f"<tr{first}>{stubs}{''.join(texts)}</tr>")
    title = f"<h2>{html.escape(grid.title)}</h2>" if grid.title else ""
    head = "".join(f"<tr>{row}</tr>" for row in heads)
    return f'{title}<div class="wide"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


FORMATS: dict[str, tuple[str, Callable[[Report], str]]] = {
    "text": (".txt", as_text),
    "md": (".md", as_markdown),
    "csv": (".csv", as_csv),
    "latex": (".tex", as_latex),
    "html": (".html", as_html),
}
"""The suffix and the writer of each format, by its name."""
