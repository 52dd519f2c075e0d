"""Lesson 09 in pictures: maps of several classifiers below the same pictures, and what erasing leaves over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lessons_lib.evidence.localisation import energy_pointing
from lessons_lib.feedback.gain import erase, mask_area, soft_mask
from lessons_lib.show import overlay as colouring
from lessons_lib.show.picture import Picture
from lessons_lib.show.sheet import Panel, lay_out, legends, mark


def attention_sheet(
    images: Tensor, maps: Mapping[str, Tensor], masks: Tensor, titles: Sequence[str], *, overlay: float = 0.55
) -> Picture:
    """A row of pictures (N, 3, S, S), and below it a row of maps (N, h, w) for each entry of `maps`; objects are outlined.

    Above each map stands the share of its heat that lies on the object.

    Raises
    ------
    ValueError : no map; numbers of maps, masks or titles that differ from the number of images.
    """
    count = len(images)
    if not maps or any(len(values) != count for values in (masks, titles, *maps.values())):
        sizes = {"masks": len(masks), "titles": len(titles), **{name: len(values) for name, values in maps.items()}}
        raise ValueError(f"each of {count} images needs a map, a mask and a title, got {sizes or 'no map'}")
    panels = [Panel(colouring.as_picture(image), title) for image, title in zip(images, titles)]
    texts = [f"{count} pictures: {', '.join(titles)}; below each its maps."]
    for name, values in maps.items():
        shares = energy_pointing(values.cpu(), masks.cpu()).tolist()
        for image, one, share in zip(images, values, shares):
            pixels = colouring.blend(colouring.as_picture(image), colouring.as_map(one), overlay=overlay)
            panels.append(Panel(pixels, name, f"{share:.0%} on the object"))
        texts.append(f"{name}: on the object lies {', '.join(f'{share:.0%}' for share in shares)} of the heat.")
    scales = legends(["unsigned"], overlay, (colouring.UNSIGNED, colouring.SIGNED), colouring.PERCENTILE)
    figure = lay_out(panels, count, scales=scales)
    for n, axes in enumerate(figure.axes[: len(panels)]):
        mark(axes, None, masks[n % count], images.shape[-2:])
    figure.alt = " ".join(texts)
    return figure


@torch.no_grad()
def show_erasing(
    model: torch.nn.Module,
    image: Tensor,
    map: Tensor,
    label: int,
    *,
    title: str = "",
    sigma: float = 0.5,
    omega: float = 10.0,
    fill: float = 0.5,
) -> Picture:
    """The picture (3, S, S), its map (S, S), the soft mask and what is left, with the class's probability."""
    hidden = soft_mask(map[None], tuple(image.shape[-2:]), sigma=sigma, omega=omega)
    left = erase(image[None], hidden, fill=fill)
    before, after = (float(model(pictures)[0, label].sigmoid()) for pictures in (image[None], left))
    area = float(mask_area(hidden))
    pixels, heat = colouring.as_picture(image), colouring.as_map(map)
    grey = colouring.as_picture(hidden)
    panels = [
        Panel(pixels, title or "the picture", f"probability {before:.2f}"),
        Panel(colouring.blend(pixels, heat), "its map A"),
        Panel(grey, f"soft mask T, sigma {sigma:g}", f"hides {area:.0%} of the picture"),
        Panel(colouring.as_picture(left[0].clamp(0, 1)), "what is left, I*", f"probability {after:.2f}"),
    ]
    figure = lay_out(panels, 4, size=2.0)
    figure.alt = (
        f"{title or 'A picture'}, its map, the soft mask at sigma {sigma:g}, which hides {area:.0%} of the picture, and "
        f"what is left. The class has probability {before:.2f} before and {after:.2f} after."
    )
    return figure
