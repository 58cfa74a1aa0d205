"""Composes the page of a run."""

from functools import partial

from alchemist_exp.labeling.run_files import StoredRun, broken
from alchemist_exp.report.blocks import Block, Page, PageSection, Paragraph, shorten
from alchemist_exp.report.cost_section import cost_section
from alchemist_exp.report.explanations import Explanations, explain_rows
from alchemist_exp.report.html import render_within_limit
from alchemist_exp.report.model_sections import (
    calibration_section,
    classes_section,
    curves_section,
    slices_section,
)
from alchemist_exp.report.notes_section import notes_section
from alchemist_exp.report.pictures import Pictures
from alchemist_exp.report.program_sections import funnel_section, programs_section
from alchemist_exp.report.rows import read_rows
from alchemist_exp.report.samples import RowSampler
from alchemist_exp.report.score_sections import repeat_section, scores_section
from alchemist_exp.results.edits import edit_notes
from alchemist_exp.results.record import RECORD
from alchemist_exp.results.run_names import dataset_title


def run_report(run: StoredRun) -> str:
    """Return the report of a run as HTML.

    Args:
        run: A finished run, whose files have been checked.

    Returns:
        One HTML file that needs no other file and no network.

    Raises:
        StoreError: A file of the run is broken.

    """
    try:
        names = [str(program.get("file") or program["origin"]) for program in run.record.programs["list"]]
        # The sections on rows are about single classes.
        rows = None if run.record.multi_label else read_rows(run.directory, run.classes, names)
        explanations = None
        if rows is not None:
            sampler = RowSampler(rows=rows, classes=run.classes, programs=names, pictures=None)
            explanations = explain_rows(run, rows, names, sampler.chosen)
        return render_within_limit(partial(_page, run, explanations, names))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise broken(run.directory / RECORD, f"{type(error).__name__}: {error}") from error


def _page(run: StoredRun, explanations: Explanations | None, names: list[str], share: float) -> Page:
    """Return the page; `share` is the share of the usual number of rows and amount of source code."""
    record = run.record
    pictures = Pictures(run.config("dataset")) if record.data.get("kind") == "images" else None
    sampler, rows = None, None if explanations is None else explanations.rows
    if rows is not None:
        sampler = RowSampler(rows=rows, classes=run.classes, programs=names, pictures=pictures, share=share)
    has_votes = record.label_model["name"] != record.programs["source"]  # else the method gave the soft labels itself
    sections = [
        repeat_section(record),
        scores_section(record),
        cost_section(record),
        *([funnel_section(record)] if record.programs["sandbox"] else []),
        *([programs_section(record, run.programs, sampler, share)] if has_votes else []),
        classes_section(record, rows),
        calibration_section(record),
        curves_section(run),
        slices_section(record, rows),
        _rows_section(sampler, explanations),
        notes_section(record),
    ]
    parts = (dataset_title(record.config["dataset"]), record.config["method"]["name"], record.label_model["name"])
    trained = [record.end_model["name"]] * bool(record.end_model["seeds"])
    return Page(
        title=" · ".join(shorten(part) for part in dict.fromkeys((*parts, *trained))),
        subtitle=f"Run {record.run_key[:12]}, finished {record.finished_at}",
        warnings=[shorten(note[:1].upper() + note[1:], 300) for note in edit_notes(run.directory, record)],
        sections=[section for section in sections if section.blocks],
    )


def _rows_section(sampler: RowSampler | None, explanations: Explanations | None) -> PageSection:
    """Return a sample of rows with filters."""
    if sampler is None or explanations is None:
        return PageSection(id="rows", title="Rows", blocks=[])
    rows = sampler.rows
    splits = " and ".join(dict.fromkeys(rows.split[sampler.audited].tolist()))
    lead = f"A sample of the rows of {splits}: some at random, and some for each filter."
    if explanations.beliefs:
        lead += " Open a row to read why the label model gives it its label."
    if len(rows) < rows.n_total:
        lead += f" Rows, slices and calibration are taken from {len(rows):,} of {rows.n_total:,} rows."
    notes: list[Block] = [Paragraph(text=shorten(note, 400)) for note in explanations.notes]
    return PageSection(id="rows", title="Rows", lead=lead, blocks=[*notes, sampler.sample(explanations)])
