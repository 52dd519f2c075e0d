"""What the page of the web demo shows as HTML and CSS: strings, without any widget."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping, Sequence

from lessons_lib.show.demo.pictures import Shot, thumbnail
from lessons_lib.show.demo.subjects import Row, clip
from lessons_lib.show.describe import percent


def message(text: str, *, alarm: bool = False) -> str:
    """The line above the prediction; screen readers announce it when it changes."""
    role, kind = ("alert", "eaf-alarm") if alarm else ("status", "eaf-note" if text else "")
    return f'<div role="{role}" class="{kind}">{html.escape(text)}</div>'


def status(text: str) -> str:
    """What is going on, beside the progress bar."""
    return f'<span role="status">{html.escape(text)}</span>'


def headline(said: str, remarks: Sequence[str]) -> str:
    """What the network says, and lines below it."""
    return f'<h3 class="eaf-said">{html.escape(said)}</h3>' + "".join(map(remark, remarks))


def remark(text: str) -> str:
    return f'<p class="eaf-remark">{html.escape(text)}</p>'


def short(share: float) -> str:
    """A probability as the rows show it."""
    return "<1 %" if 0 < share < 0.005 else percent(share)


def label(row: Row, *, aligned: bool = True) -> str:
    """A class, an answer or a word with its probability; `aligned` with others below each other."""
    share = short(row.share)
    return f"{share:\u2007>5}\u2002{row.name}" if aligned else f"{share}\u2002{row.name}"


def maps(png: bytes, alt: str, name: str, failed: Mapping[str, str]) -> str:
    """The figure with its description, a link that saves it, and what could not be computed.

    name : of the file that is saved, without its ending.
    """
    source = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    file = re.sub(r"\W+", "_", name).strip("_")[:80] or "maps"
    alt = html.escape(alt)
    return "".join(remark(f"{method} is not possible here: {clip(why, 300)}") for method, why in failed.items()) + (
        f'<img class="eaf-figure" src="{source}" alt="{alt}">'
        f'<div><a class="eaf-download" download="{file}.png" href="{source}">Download this picture (PNG)</a></div>'
        f'<details class="eaf-words"><summary>The maps in words</summary><p>{alt}</p></details>'
    )


def only(shot: Shot) -> str:
    """The picture alone, while there is no model yet."""
    data = base64.b64encode(thumbnail(shot, 240)).decode("ascii")
    return f'<img class="eaf-figure" src="data:image/jpeg;base64,{data}" alt="{html.escape(shot.title)}">'


class Decorations:
    """CSS that depends on the pictures and numbers: thumbnails, the frame of the chosen one, bars behind the rows."""

    def __init__(self, place: str) -> None:
        self._place = f".eaf-{place}"
        self._thumbs: dict[str, str] = {}

    def css(self, shots: Sequence[Shot], chosen: Shot, rows: Sequence[Row]) -> str:
        self._thumbs = {
            shot.key: self._thumbs.get(shot.key) or base64.b64encode(thumbnail(shot)).decode("ascii") for shot in shots
        }
        rules = []
        for number, shot in enumerate(shots):
            frame = "outline:3px solid var(--eaf-blue);" if shot.key == chosen.key else ""
            picture = f"background-image:url(data:image/jpeg;base64,{self._thumbs[shot.key]})"
            rules.append(f"{self._place} .eaf-gallery button:nth-child({number + 1}){{{frame}{picture}}}")
        for number, row in enumerate(rows):
            fill = f"--share:{100 * min(max(row.share, 0), 1):.1f}%"
            rules.append(f"{self._place} .eaf-rows button:nth-of-type({number + 1}){{{fill}}}")
        return f"<style>{''.join(rules)}</style>"
