"""The library's own code inside a lesson: shown, not copied, so that it cannot drift from what runs."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """The text of a function or class; a notebook shows it highlighted, in the colours of the reader's theme."""

    name: str
    place: str
    code: str

    def __str__(self) -> str:
        return self.code

    def __repr__(self) -> str:
        return f"# {self.place}\n{self.code}"

    def _repr_markdown_(self) -> str:
        fence = "```"
        while fence in self.code:
            fence += "`"
        return f"`{self.name}`, {self.place}\n\n{fence}python\n{self.code}\n{fence}"


def show_source(function, *, omit_docstring: bool = False) -> Source:
    """The source of a function, method or class, for display as the last expression of a cell.

    Parameters
    ----------
    function : any function or class written in Python; decorators' wrappers and `functools.partial` are
        seen through.
    omit_docstring : leave out all docstrings; comments stay.

    Raises
    ------
    TypeError : not a function or class, or one without Python source (built in).
    """
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function) if callable(function) else function
    if isinstance(function, property):
        function = function.fget
    try:
        lines, first = inspect.getsourcelines(function)
    except (TypeError, OSError) as error:
        raise TypeError(f"show_source needs a function or class written in Python, not {function!r}") from error
    code = textwrap.dedent("".join(lines)).rstrip()
    if omit_docstring:
        code = _without_docstrings(code)
    module = getattr(function, "__module__", "") or ""
    place = f"{module.replace('.', '/')}.py, line {first}" if module and module != "__main__" else "this notebook"
    return Source(getattr(function, "__qualname__", str(function)), place, code)


def _without_docstrings(code: str) -> str:
    """The code without the docstrings that stand on lines of their own and are not a body's only statement."""
    lines = code.split("\n")
    drop: set[int] = set()
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or len(node.body) < 2:
            continue
        first, second = node.body[0], node.body[1]
        if ast.get_docstring(node, clean=False) is None or lines[first.lineno - 1][: first.col_offset].strip():
            continue
        if first.end_lineno < second.lineno:
            drop.update(range(first.lineno - 1, first.end_lineno))
            after = first.end_lineno  # a blank line that followed the docstring goes with it
            while not lines[after].strip():
                drop.add(after)
                after += 1
    return "\n".join(line for place, line in enumerate(lines) if place not in drop)
