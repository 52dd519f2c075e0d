"""A table of results as HTML and as plain text, with the best value marked by more than colour."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

_HTML = (
    '<table style="border-collapse:collapse;margin:0.5em 0">{caption}'
    "<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
)
_CELL = "padding:2px 10px;border-bottom:1px solid #8888;"


@dataclass
class Table:
    """Rows of text under column names; shown as HTML in a notebook and as aligned text elsewhere.

    marked : (row, column) positions of the values to point out: bold, and with an asterisk.
    right : columns of numbers, aligned to the right.
    """

    columns: list[str]
    rows: list[list[str]]
    marked: set[tuple[int, int]] = field(default_factory=set)
    right: set[int] = field(default_factory=set)
    caption: str = ""

    def __repr__(self) -> str:
        lines = [
            self.columns,
            *([self._aligned(r, c) for c in range(len(self.columns))] for r in range(len(self.rows))),
        ]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.columns))]
        text = [
            "  ".join(
                cell.rjust(width) if c in self.right else cell.ljust(width)
                for c, (cell, width) in enumerate(zip(line, widths))
            ).rstrip()
            for line in lines
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([*([self.caption] if self.caption else []), text[0], rule, *text[1:]])

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th scope="col" style="{self._style(c)}">{html.escape(n)}</th>' for c, n in enumerate(self.columns)
        )
        body = "".join(
            "<tr>" + "".join(self._html_cell(r, c) for c in range(len(self.columns))) + "</tr>"
            for r in range(len(self.rows))
        )
        caption = f'<caption style="text-align:left">{html.escape(self.caption)}</caption>' if self.caption else ""
        return _HTML.format(caption=caption, head=head, body=body)

    def _cell(self, row: int, column: int) -> str:
        return self.rows[row][column] + (" *" if (row, column) in self.marked else "")

    def _aligned(self, row: int, column: int) -> str:
        """In plain text, numbers beside a marked one leave room for the asterisk."""
        marked = column in self.right and any(place[1] == column for place in self.marked)
        return self._cell(row, column) + ("  " if marked and (row, column) not in self.marked else "")

    def _style(self, column: int) -> str:
        return _CELL + ("text-align:right" if column in self.right else "text-align:left")

    def _html_cell(self, row: int, column: int) -> str:
        text = html.escape(self._cell(row, column))
        if (row, column) in self.marked:
            text = f"<b>{text}</b>"
        tag = 'th scope="row"' if column == 0 else "td"
        weight = ";font-weight:normal" if column == 0 else ""
        return f'<{tag} style="{self._style(column)}{weight}">{text}</{tag[:2]}>'


def table(
    rows: Sequence[Mapping] | Mapping[str, Mapping],
    columns: Sequence[str] | None = None,
    *,
    highlight: Mapping[str, str] | None = None,
    caption: str = "",
    digits: int = 3,
) -> Table:
    """A table of rows.

    Parameters
    ----------
    rows : dicts column -> value; or name -> such a dict, whose names make the first column. A value is a
        text, a number, a bool, None, a pair (low, high), or a list of numbers, one a seed: its mean +-
        standard deviation.
    columns : which columns, in this order; default: all, in the order of their first appearance.
    highlight : column -> "max" or "min": its best value is set bold and marked with an asterisk.
    digits : significant digits of numbers.

    Raises ValueError for no row, a column that no row has, or another word in `highlight`.
    """
    if isinstance(rows, Mapping):
        rows = [{"": name, **row} for name, row in rows.items()]
    rows = [dict(row) for row in rows]
    if not rows:
        raise ValueError("table needs at least one row")
    present = list(dict.fromkeys(name for row in rows for name in row))
    named = [""] if "" in present and columns is not None else []
    columns = present if columns is None else named + [name for name in columns if name != ""]
    for what, names in (("columns", columns), ("highlight", highlight or {})):
        unknown = [name for name in names if name not in columns or name not in present]
        if unknown:
            raise ValueError(f"{what} names {unknown[0]!r}, which is not a column; they are {present}")
    marked = {(r, columns.index(n)) for n, wanted in (highlight or {}).items() for r in _best(rows, n, wanted)}
    right = {
        c for c, name in enumerate(columns)
        if all(_number(row[name]) is not None for row in rows if row.get(name) is not None)
    }  # fmt: skip
    cells = [[_text(row.get(name), digits) for name in columns] for row in rows]
    return Table([str(name) for name in columns], cells, marked, right, caption)


def _best(rows: list[dict], column: str, wanted: str) -> list[int]:
    if wanted not in ("max", "min"):
        raise ValueError(f"highlight[{column!r}] must be 'max' or 'min', got {wanted!r}")
    numbers = [_number(row.get(column)) for row in rows]
    known = [number for number in numbers if number is not None and number == number]
    best = (max if wanted == "max" else min)(known, default=None)
    return [place for place, number in enumerate(numbers) if number is not None and number == best]


def _number(value) -> float | None:
    """What a value is ranked by: the number, the mean of a list, the middle of a pair; None for a text."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if value is None or isinstance(value, str | bool | np.bool_):
        return None
    try:
        return float(np.mean(np.asarray(value, dtype=float)))
    except (TypeError, ValueError):
        return None


def _text(value, digits: int) -> str:
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if value is None:
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return f"{_text(value[0], digits)} to {_text(value[1], digits)}"
    if isinstance(value, int | np.integer):
        return f"{int(value):,}"
    if isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1 and len(value):
        array = np.asarray(value, dtype=float)
        spread = f" ± {array.std(ddof=1):.{digits - 1}g}" if len(array) > 1 else ""
        return f"{_text(float(array.mean()), digits)}{spread}"
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return f"{number:,.0f}" if abs(number) >= 10**digits else f"{number:#.{digits}g}".rstrip(".")
