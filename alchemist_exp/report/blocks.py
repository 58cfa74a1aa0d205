"""What a page of a report consists of, before templates/page.html turns it into HTML.

All texts are plain: the template escapes them. Only `Markup` of the modules charts and source is inserted as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from markupsafe import Markup

NAME_CHARS: Final = 80
"""Characters that are shown of a name of a class, column, program or setting."""


def shorten(text: object, n_chars: int = NAME_CHARS) -> str:
    """Return a text with its end replaced by an ellipsis if it is too long.

    Args:
        text: The text, or a value that is converted to one.
        n_chars: The largest number of characters.

    Example:
        >>> shorten("a long name", 6)
        'a lon…'

    """
    shown = str(text)
    return shown if len(shown) <= n_chars else shown[: n_chars - 1] + "…"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: What is shown.
        sort: What the column is sorted by; None: the text.
        wrong: Whether the cell is a warning.
        href: The id on this page that the cell links to; "" for none.

    """

    text: str
    sort: float | str | None = None
    wrong: bool = False
    href: str = ""


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    """A column of a table.

    Attributes:
        name: Its heading.
        numeric: Whether its cells are numbers, which are aligned at the right.
        title: An explanation of the heading.

    """

    name: str
    numeric: bool = True
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class PageTable:
    """A table, which a click on a heading sorts."""

    kind: ClassVar = "table"
    columns: Sequence[TableColumn]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """A paragraph; a warning has a mark in front of it."""

    kind: ClassVar = "paragraph"
    text: str
    warning: bool = False


@dataclass(frozen=True, kw_only=True)
class BulletList:
    """A list of sentences."""

    kind: ClassVar = "listing"
    items: Sequence[str]
    title: str = ""
    warning: bool = False


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with a caption that says what it shows."""

    kind: ClassVar = "figure"
    svg: Markup
    caption: str


@dataclass(frozen=True, kw_only=True)
class Code:
    """A text in a font of equal widths, or highlighted source code."""

    kind: ClassVar = "code"
    source: str | Markup
    label: str


@dataclass(frozen=True, kw_only=True)
class FactList:
    """Names with their values, as many on a line as fit."""

    kind: ClassVar = "facts"
    items: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A number that sums up a part of the page."""

    label: str
    value: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """The numbers at the top of a page."""

    kind: ClassVar = "tiles"
    tiles: Sequence[Tile]


@dataclass(frozen=True, kw_only=True)
class RowVote:
    """The vote of a program on a row: the class index and name; "" if the program abstains."""

    program: str
    number: str
    name: str
    wrong: bool


@dataclass(frozen=True, kw_only=True)
class RowReason:
    """What the vote of a program does to the label of a row.

    Attributes:
        program: The name of its file.
        href: The id on this page of its source; "" for none.
        vote: The class.
        wrong: Whether the vote differs from gold.
        influence: The share of labels of train that depend on the program.
        without: The probability of the row's label if the program abstained.
        line: The number of the line that returned the vote; "" if it is not known.
        source: That line, and the condition around it.

    """

    program: str
    href: str
    vote: str
    wrong: bool
    influence: str
    without: str
    line: str
    source: str


@dataclass(frozen=True, kw_only=True)
class RowExplanation:
    """Why the label model gives a row its label.

    Attributes:
        posterior: The most probable classes with their probabilities.
        reasons: The programs that vote.
        notes: Sentences.

    """

    posterior: Sequence[tuple[str, str]]
    reasons: Sequence[RowReason]
    notes: Sequence[str] = ()

    @property
    def has_lines(self) -> bool:
        """Whether the line of at least one vote is known."""
        return any(one.line for one in self.reasons)


@dataclass(frozen=True, kw_only=True)
class RowCard:
    """A row of the dataset.

    Attributes:
        place: The split and the number of the row.
        content: Its text, cut.
        image: A data URI of the picture; "" for other rows.
        facts: Names and values: gold, the label model's class, the distilled model's class.
        wrong: The names of facts that differ from gold.
        votes: The programs' votes.
        flags: The filters that the row passes.
        explanation: Why the row has its label; None if it is not known.

    """

    place: str
    content: str
    image: str = ""
    facts: Sequence[tuple[str, str]] = ()
    wrong: Sequence[str] = ()
    votes: Sequence[RowVote] = ()
    flags: Sequence[str] = ()
    explanation: RowExplanation | None = None


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A filter of a sample: its flag, what it means, and how many of all rows pass it and are shown."""

    flag: str
    title: str
    n_shown: int
    n_total: int


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Rows with a search field and filters."""

    kind: ClassVar = "sample"
    rows: Sequence[RowCard]
    filters: Sequence[Filter]
    legend: str


@dataclass(frozen=True, kw_only=True)
class Details:
    """Blocks that are hidden until a reader opens them."""

    kind: ClassVar = "details"
    id: str
    summary: str
    detail: str
    blocks: Sequence["Block"]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows without a search field."""

    kind: ClassVar = "rows"
    rows: Sequence[RowCard]
    title: str


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Blocks next to each other where the page is wide enough."""

    kind: ClassVar = "columns"
    blocks: Sequence["Block"]


Block = PageTable | FactList | Paragraph | BulletList | Figure | Code | Tiles | Sample | Rows | Details | Columns


@dataclass(frozen=True, kw_only=True)
class PageSection:
    """A section of a page."""

    id: str
    title: str
    lead: str = ""
    blocks: Sequence[Block]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page.

    Attributes:
        title: Its title.
        subtitle: When and by what it was made.
        warnings: What a reader has to know first.
        sections: Its sections; those without blocks are left out.

    """

    title: str
    subtitle: str
    warnings: Sequence[str] = ()
    sections: Sequence[PageSection] = field(default_factory=tuple)
