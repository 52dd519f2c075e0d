"""Pictures and heat maps side by side, with names, scores, a scale and a description in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from lessons_lib.show import overlay as colouring
from lessons_lib.show.describe import sentence, summarise
from lessons_lib.show.picture import Picture
from lessons_lib.show.sheet import Panel, lay_out, legends, mark

_EMPTY = {"zero": "zero everywhere", "negative": "nowhere positive"}


def show(
    image: Tensor | np.ndarray,
    maps,
    *,
    titles: Sequence[str] | None = None,
    scores: Mapping | Sequence | None = None,
    boxes: Sequence | None = None,
    masks: Tensor | np.ndarray | None = None,
    columns: int | None = None,
    overlay: float = 0.55,
    colours: str | tuple[str, str] = (colouring.UNSIGNED, colouring.SIGNED),
    image_title: str | None = None,
    signed: bool | Mapping | Sequence | None = None,
    percentile: float = colouring.PERCENTILE,
) -> Picture:
    """A picture and its maps as one figure with names, scores and a scale.

    Parameters
    ----------
    image : (3, H, W) or (1, 3, H, W) in [0, 1].
    maps : a dict name -> map, a list of maps, or one map. A map is (h, w), shown as colour over the picture
        (a map at a layer's resolution is upsampled), or a signed colour picture (3, H, W), shown as it is
        with grey for 0.
    titles : names of the maps in a list, instead of the dict's keys.
    scores : one a map, by name or in order: a text, a number, or a dict of metric -> number.
    boxes : rectangles (x0, y0, x1, y1) in pixels of `image`, drawn on every panel.
    masks : bool (H, W), the object that should matter: outlined on every panel and measured in the
        description.
    columns : panels a row; by default up to 5, in rows of about the same length.
    overlay : from 0 (the picture alone) to 1.
    colours : colour map of the unsigned maps, or one for the unsigned and one for the signed ones.
    signed : colours centred on 0: for all maps, by name or in order. None: where a map has negative values.
    percentile : the share of the pixels that the colour scale spans, 100 for up to the largest value.

    Returns
    -------
    Picture, a matplotlib figure whose `alt` says where the heat of each map lies.

    Raises
    ------
    ValueError : a shape, a range, a number of titles or scores that does not fit; no map; `overlay` outside
    [0, 1].
    """
    if not 0 <= overlay <= 1:
        raise ValueError(f"overlay must lie between 0 and 1, got {overlay}")
    picture = colouring.as_picture(image)
    named = _named(maps, titles)
    palette = (colours, colouring.SIGNED) if isinstance(colours, str) else tuple(colours)
    notes = _by_name(scores, named, "scores")
    signs = dict.fromkeys(named, signed) if isinstance(signed, bool) else _by_name(signed, named, "signed")
    panels = [Panel(picture, image_title or "")]
    whose = f" ({image_title})" if image_title else ""
    texts, kinds = [f"A picture{whose} and {_count(len(named), 'map')} of it."], []
    for name, values in named.items():
        negative = signs.get(name)
        negative = colouring.is_signed(values) if negative is None else bool(negative)
        kind = "picture" if values.ndim == 3 else ("signed" if negative else "unsigned")
        kinds.append(kind)
        style = {"signed": negative, "overlay": overlay, "colours": palette[negative], "percentile": percentile}
        score = _score_text(notes.get(name))
        summary = summarise(np.abs(values).sum(-1) if values.ndim == 3 else values, mask=masks)
        words = sentence(summary, signed=kind == "signed", brief=len(named) > 4)
        texts.append(f"{name or 'The map'}{f' ({score})' if score else ''}: {words}")
        if summary.kind in _EMPTY and not (kind == "signed" and summary.kind == "negative"):
            score = f"{score}, {_EMPTY[summary.kind]}".lstrip(", ")
        panels.append(Panel(colouring.blend(picture, values, **style), name, score))
    figure = lay_out(panels, columns, scales=legends(kinds, overlay, palette, percentile))
    for axes in figure.axes[: len(panels)]:
        mark(axes, boxes, masks, picture.shape[:2])
    figure.alt = " ".join(texts)
    return figure


def grid(
    images: Tensor | Sequence,
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    masks: Sequence | Tensor | None = None,
    size: float | None = None,
) -> Picture:
    """A contact sheet of pictures.

    Parameters
    ----------
    images : (N, 3, H, W) in [0, 1], or a list of (3, H, W), which may differ in size.
    titles : one a picture.  masks : one a picture, bool (H, W), outlined.
    columns : pictures a row.  size : width of a picture in inches.

    Raises ValueError for no image, or another number of titles or masks than of images.
    """
    pictures = [colouring.as_picture(image) for image in images]
    if not pictures:
        raise ValueError("grid needs at least one image")
    for what, values in (("titles", titles), ("masks", masks)):
        if values is not None and len(values) != len(pictures):
            raise ValueError(f"{len(values)} {what} do not fit {len(pictures)} images")
    names = [""] * len(pictures) if titles is None else [str(title) for title in titles]
    figure = lay_out([Panel(p, name) for p, name in zip(pictures, names)], columns, size=size)
    if masks is not None:
        for axes, mask, picture in zip(figure.axes, masks, pictures):
            mark(axes, None, mask, picture.shape[:2])
    listed = ": " + ", ".join(names) if titles is not None else ""
    figure.alt = f"A sheet of {_count(len(pictures), 'picture')}{listed}."
    return figure


def _named(maps, titles: Sequence[str] | None) -> dict[str, np.ndarray]:
    if isinstance(maps, Mapping):
        names, values = [str(name) for name in maps], list(maps.values())
    else:
        single = isinstance(maps, Tensor | np.ndarray) and (maps.ndim == 2 or (maps.ndim == 3 and len(maps) == 1))
        values = [maps] if single else list(maps)
        names = [""] if len(values) == 1 else [f"map {place + 1}" for place in range(len(values))]
    if not values:
        raise ValueError("show needs at least one map")
    if titles is not None:
        if len(titles) != len(values):
            raise ValueError(f"{len(titles)} titles do not fit {len(values)} maps")
        names = [str(title) for title in titles]
    if len(set(names)) != len(names):
        raise ValueError(f"the names of the maps must differ, got {names}")
    return {name: colouring.as_map(value) for name, value in zip(names, values)}


def _by_name(values, named: Mapping, what: str) -> dict:
    if values is None:
        return {}
    if isinstance(values, Mapping):
        unknown = [name for name in values if str(name) not in named]
        if unknown:
            raise ValueError(f"{what} names {unknown[0]!r}, which is not one of the maps {list(named)}")
        return {str(name): value for name, value in values.items()}
    values = list(values)
    if len(values) != len(named):
        raise ValueError(f"{len(values)} {what} do not fit {len(named)} maps")
    return dict(zip(named, values))


def _score_text(score) -> str:
    if score is None or isinstance(score, str):
        return score or ""
    if isinstance(score, Mapping):
        return ", ".join(f"{name} {_score_text(value)}" for name, value in score.items())
    if isinstance(score, bool | np.bool_):
        return "yes" if score else "no"
    return f"{float(score):.2f}" if abs(float(score)) < 100 else f"{float(score):,.0f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
