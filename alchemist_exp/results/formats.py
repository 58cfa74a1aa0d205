"""A report as text, Markdown, CSV, LaTeX or one self-contained HTML page.

Names, errors and warnings come from records, and so from files and servers of others: whatever they hold, a format
shows it and nothing acts on it.
"""

import csv
import html
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.cells import cell_len

from alchemist_exp.core.terminal import single_line
from alchemist_exp.results.report import Column, Grid, Report

PIPE_WIDTH = 120
"""Columns of a terminal that is none."""


def as_text(report: Report, width: int = PIPE_WIDTH) -> str:
    """For a terminal: no line of a table is longer than `width` unless a single group of columns is."""
    parts = ["", single_line(report.title), *(_wrapped(caption, width) for caption in report.captions)]
    for grid in report.grids:
        for part in grid.parts(width):
            parts += ["", *([single_line(part.title)] if part.title else []), *_aligned(part)]
    if report.notes:
        parts += ["", *(_wrapped(f"! {note}", width) for note in report.notes)]
    if report.gaps:
        parts += ["", f"Not there ({len(report.gaps)}):"]
        for gap in report.gaps:
            parts += [f"  {single_line(gap.place)}: {single_line(gap.why)}", f"    {single_line(gap.command)}"]
        parts += ["All of the sweep's:", f"    {single_line(report.filling or '')}"]
    return "\n".join(parts) + "\n"


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(single_line(text), max(width, 40), subsequent_indent="  ", break_on_hyphens=False)


def _aligned(grid: Grid) -> list[str]:
    """The grid in columns, figures to the right, labels that repeat left out."""
    left = len(grid.stubs)
    body = [[*labels, *map(single_line, row.cells)] for labels, row in zip(_labels(grid), grid.rows, strict=True)]
    names = [*map(single_line, grid.stubs), *(single_line(column.name) for column in grid.columns)]
    widths = [max(map(cell_len, cells)) for cells in zip(names, *body, strict=True)]
    spans = _spans(grid.columns)
    for group, start, stop in spans:
        lacking = cell_len(single_line(group)) - sum(widths[left + start : left + stop]) - 2 * (stop - start - 1)
        widths[left + stop - 1] += max(0, lacking)
    lines = []
    if any(group for group, _, _ in spans):
        heads = [" " * (sum(widths[:left]) + 2 * (left - 1))]
        for group, start, stop in spans:
            room = sum(widths[left + start : left + stop]) + 2 * (stop - start - 1)
            heads.append(single_line(group).center(room, "─" if stop - start > 1 and group else " "))
        lines.append("  ".join(heads).rstrip())
    for cells in (names, *body):
        padded = [
            _padded(cell, width, right=i >= left) for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines


def _padded(cell: str, width: int, *, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space


def _labels(grid: Grid) -> list[list[str]]:
    """The rows' labels; one that stands in the row above too, and all before it, is left out."""
    shown: list[list[str]] = []
    above: list[str] = []
    for row in grid.rows:
        labels = [single_line(label) for label in row.labels]
        same = 0
        while same < len(labels) - 1 and above and above[same] == labels[same]:
            same += 1
        shown.append([""] * same + labels[same:])
        above = labels
    return shown


def _spans(columns: Sequence[Column]) -> list[tuple[str, int, int]]:
    """(group, first column, the column after the last) of neighbours that share a group."""
    spans: list[tuple[str, int, int]] = []
    for i, column in enumerate(columns):
        if spans and column.group and spans[-1][0] == column.group:
            spans[-1] = (column.group, spans[-1][1], i + 1)
        else:
            spans.append((column.group, i, i + 1))
    return spans


def as_markdown(report: Report) -> str:
    """For a README or an issue; groups of columns are named in each heading."""
    parts = [f"## {_markdown(report.title)}", *map(_markdown, report.captions)]
    for grid in report.grids:
        names = [*grid.stubs, *(" ".join(filter(None, (column.group, column.name))) for column in grid.columns)]
        rows = [names, ["---"] * len(grid.stubs) + ["---:"] * len(grid.columns)]
        lines = [
            "| " + " | ".join(_markdown(cell) if i != 1 else cell for cell in row) + " |" for i, row in enumerate(rows)
        ]
        lines += ["| " + " | ".join(map(_markdown, [*row.labels, *row.cells])) + " |" for row in grid.rows]
        parts += [f"### {_markdown(grid.title)}"] * bool(grid.title) + ["\n".join(lines)]
    if report.notes:
        parts.append("\n".join(f"- {_markdown(note)}" for note in report.notes))
    if report.gaps:
        lines = [f"- {_markdown(gap.place)}: {_markdown(gap.why)}\n\n  {_code(gap.command)}" for gap in report.gaps]
        parts += ["### Not there", *lines, f"All of the sweep's: {_code(report.filling or '')}"]
    return "\n\n".join(parts) + "\n"


def _markdown(text: str) -> str:
    escaped = re.sub(r"([\\`*_{}\[\]#|~$])", r"\\\1", single_line(text))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(command: str) -> str:
    """A code span that no backtick of the command ends."""
    text = single_line(command)
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def as_csv(report: Report) -> str:
    """Every figure on a line of its own, in full precision; captions and notes are not part of it."""
    lines = io.StringIO()
    if report.flat:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(map(_cell, report.flat[0]))
        writer.writerows(map(_cell, line.values()) for line in report.flat)
    return lines.getvalue()


def _cell(text: str) -> str:
    """A text that a spreadsheet would take for a formula is quoted."""
    cell = single_line(text)
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@") and len(cell) > 1 else cell


def as_latex(report: Report) -> str:
    """A table environment for each part that fits a page; needs the package booktabs."""
    parts = [f"% {single_line(report.title)}; needs \\usepackage{{booktabs}}"]
    caption = f"{report.title}. {' '.join(report.captions)}"
    for grid in report.grids:
        parts += [_tabular(part, part.title or caption) for part in grid.parts(PIPE_WIDTH)]
    parts += [f"% {single_line(note)}" for note in report.notes]
    parts += [f"% not there: {single_line(gap.place)}: {single_line(gap.why)}" for gap in report.gaps]
    return "\n".join(parts) + "\n"


def _tabular(grid: Grid, caption: str) -> str:
    left, spans = len(grid.stubs), _spans(grid.columns)
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
    lines.append(" & ".join(map(_latex, [*grid.stubs, *(column.name for column in grid.columns)])) + r" \\")
    lines.append(r"\midrule")
    for labels, row in zip(_labels(grid), grid.rows, strict=True):
        lines.append(" & ".join(map(_latex, [*labels, *row.cells])) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "±": r"$\pm$", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}", "[": "{[}", "]": "{]}",
}  # fmt: skip


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in single_line(text))


def as_html(report: Report) -> str:
    """One page that needs nothing else; it runs no script and asks no server."""
    body = [f"<h1>{_html(report.title)}</h1>", *(f'<p class="caption">{_html(text)}</p>' for text in report.captions)]
    if report.svg:
        body.append(f"<figure>{report.svg[report.svg.index('<svg') :]}</figure>")
    body += [_html_table(grid) for grid in report.grids]
    if report.notes:
        body.append("<h2>Notes</h2><ul>" + "".join(f"<li>{_html(note)}</li>" for note in report.notes) + "</ul>")
    if report.gaps:
        items = "".join(
            f"<li><b>{_html(gap.place)}</b>: {_html(gap.why)}<br><code>{_html(gap.command)}</code></li>"
            for gap in report.gaps
        )
        whole = f"<p>All of the sweep's: <code>{_html(report.filling or '')}</code></p>"
        body.append(f"<details open><summary>Not there: {len(report.gaps)}</summary><ul>{items}</ul>{whole}</details>")
    head, tail = Path(__file__).with_name("page.html").read_text(encoding="utf-8").split("{body}")
    return "\n".join([head.replace("{title}", _html(report.title)), *body]) + tail


def _html_table(grid: Grid) -> str:
    left, spans = len(grid.stubs), _spans(grid.columns)
    starts = {start for _, start, _ in spans}
    heads = []
    if any(group for group, _, _ in spans):
        groups = "".join(f'<th colspan="{stop - start}" class="group">{_html(g)}</th>' for g, start, stop in spans)
        heads.append(f"<tr>{'<th></th>' * left}{groups}</tr>")
    names = "".join(f"<th>{_html(name)}</th>" for name in grid.stubs)
    names += "".join(f"<th{_class(c.ours, i in starts)}>{_html(c.name)}</th>" for i, c in enumerate(grid.columns))
    heads.append(f"<tr>{names}</tr>")
    rows = []
    for labels, row in zip(_labels(grid), grid.rows, strict=True):
        stubs = "".join(f'<th scope="row">{_html(label)}</th>' for label in labels)
        cells = "".join(
            f"<td{_class(row.ours or grid.columns[i].ours, i in starts)}>{_html(cell)}</td>"
            for i, cell in enumerate(row.cells)
        )
        rows.append(f"<tr{_FIRST if labels[0] else ''}>{stubs}{cells}</tr>")
    title = f"<h2>{_html(grid.title)}</h2>" if grid.title else ""
    table = f"<table><thead>{''.join(heads)}</thead><tbody>{''.join(rows)}</tbody></table>"
    return f'{title}<div class="wide">{table}</div>'


_FIRST = ' class="first"'


def _class(ours: bool, first: bool) -> str:
    names = " ".join(["ours"] * ours + ["start"] * first)
    return f' class="{names}"' if names else ""


def _html(text: str) -> str:
    return html.escape(single_line(text))


FORMATS: dict[str, tuple[str, Callable[[Report], str]]] = {
    "text": (".txt", as_text),
    "md": (".md", as_markdown),
    "csv": (".csv", as_csv),
    "latex": (".tex", as_latex),
    "html": (".html", as_html),
}
"""Name -> suffix of its files, and its writer."""
