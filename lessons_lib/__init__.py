"""An executable course: see what a network looked at, judge the explanation, fix the model by telling it
where to look.

A notebook's first cell calls `lessons_lib.start("02_judging_explanations")`; everything else is in the
packages `models`, `explain`, `training`, `evidence`, `experiments` and `show`. Importing this package imports
none of them.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["__version__", "start"]


def __getattr__(name: str):
    """`start` is imported when it is asked for, so that it can name a package that is missing or too old."""
    if name == "start":
        from lessons_lib.runtime import start

        return start
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
