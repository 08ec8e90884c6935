"""Prints tables on terminals of any width. Headings, figures and names are never cut; a table that
is too wide is printed as a list."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from ..plain_text import plain

_GAP = 2
_LEAST_SENTENCE = 12
"""Minimum width of a sentence, in columns, if its longest word is at least that long."""
_FIGURE = re.compile(r"[-+]?\d")


@dataclass(frozen=True)
class Sheet:
    """Rows of cells under headings. A cell is text as it is, without markup; a Text may have a
    style."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str | Text]]
    sentences: Collection[str] = ()
    """Headings of the columns whose cells may be broken over lines; other cells are not broken."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Give rich a table, or a list if the table does not fit the width of the terminal."""
        rows = [
            [cell if isinstance(cell, Text) else Text(plain(cell)) for cell in row]
            for row in self.rows
        ]
        least = [
            self._least(heading, [row[index] for row in rows])
            for index, heading in enumerate(self.headings)
        ]
        fits = sum(least) + _GAP * len(least) <= options.max_width
        yield self._table(rows, least) if fits else self._list(rows, options.max_width)

    def _least(self, heading: str, cells: list[Text]) -> int:
        word = _longest(heading.split())
        if heading in self.sentences:
            return max(
                word,
                min(
                    _longest(part for cell in cells for part in cell.plain.split()), _LEAST_SENTENCE
                ),
            )
        return max(word, _longest(line for cell in cells for line in cell.plain.split("\n")))

    def _table(self, rows: list[list[Text]], least: list[int]) -> Table:
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
        for index, heading in enumerate(self.headings):
            is_figure = all(_FIGURE.match(row[index].plain) for row in rows if row[index].plain)
            table.add_column(
                heading,
                justify="right" if is_figure and heading not in self.sentences else "left",
                width=None if heading in self.sentences else least[index],
                min_width=least[index],
                overflow="fold",
            )
        for row in rows:
            table.add_row(*row)
        return table

    def _list(self, rows: list[list[Text]], columns: int) -> Table:
        """Make a list with a line for each cell: beside its heading, or below it if a cell has no
        room there."""
        heading_columns = max(map(cell_len, self.headings))
        whole = [
            cell
            for row in rows
            for heading, cell in zip(self.headings, row, strict=True)
            if heading not in self.sentences
        ]
        beside = (
            heading_columns
            + _GAP
            + _longest(line for cell in whole for line in cell.plain.split("\n"))
            <= columns
        )
        grid = Table.grid(padding=(0, _GAP if beside else 0, 0, 0))
        for width in (heading_columns, None) if beside else (None,):
            grid.add_column(overflow="fold", min_width=width)
        for number, row in enumerate(rows):
            if number:
                grid.add_row()
            for heading, cell in zip(self.headings, row, strict=True):
                if cell.plain:
                    name = Text(heading, style="bold")
                    for line in [(name, cell)] if beside else [(name,), (cell,)]:
                        grid.add_row(*line)
        return grid


def _longest(texts: Iterable[str]) -> int:
    """Return the width of the widest text, in columns; 0 if there is none."""
    return max(map(cell_len, texts), default=0)
