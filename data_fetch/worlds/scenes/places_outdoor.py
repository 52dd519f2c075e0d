"""Places in the open: beach, snow, field, water, forest."""

from __future__ import annotations

import torch
from torch import Tensor

from data_fetch.worlds.raster import joined, within
from data_fetch.worlds.scenes.places_base import Ground, ridge, sky

TURN = 2 * torch.pi
WHITE, WOOD = (0.97, 0.97, 0.96), (0.50, 0.36, 0.23)


def beach(g: Ground) -> None:
    sky(g, 0.47)
    horizon = g.any(0.38, 0.44)
    sea = g.rows(0.36, 0.68)
    far, near = g.tone((0.07, 0.34, 0.60)), g.tone((0.38, 0.74, 0.78))
    sea.paint(sea.under(horizon), sea.fade(far, near, 0.40, 0.64), "water")
    cape, rise, coast = g.any(0.14, 0.34), g.any(0.02, 0.06), g.rows(0.30, 0.47)
    rocks = coast.under(horizon[:, None, None] - rise[:, None, None] * (1.1 - (g.u / cape[:, None, None]).square()))
    rocks = within(rocks, -coast.under(horizon + 0.006), (g.u - cape[:, None, None]) * g.scale)
    coast.paint(rocks, g.tone((0.42, 0.45, 0.42)), "rocks", when=g.any() < 0.5)
    drift = g.any()[:, None, None]
    swell = 0.012 * torch.sin(TURN * (1.3 * g.u + drift)) + 0.006 * torch.sin(TURN * (3.1 * g.u - drift))
    for height, thick in ((0.475, 0.005), (0.545, 0.009)):  # waves that break
        line = height + 0.5 * swell + 0.006 * torch.sin(TURN * (2.2 * g.u + 3 * drift))
        reach = (0.36 - (g.u - (0.3 + 0.5 * height)).abs()).clamp(min=0) * 3
        crest = within(sea.under(line - thick * reach), -sea.under(line + thick * reach))
        sea.paint(crest, WHITE, opacity=0.85)
    g.rows(0.45, 0.62).texture("wide", 0.10)
    sand = g.rows(0.60, 1.0)
    shore = 0.636 + swell
    sand.paint(sand.under(shore), sand.fade(g.tone((0.93, 0.83, 0.62)), g.tone((0.84, 0.70, 0.46)), 0.66, 1.0), "sand")
    foam = g.rows(0.58, 0.70)
    foam.paint(within(foam.under(shore), -foam.under(shore + 0.035)), (0.66, 0.55, 0.40), opacity=0.75)
    foam.paint(within(foam.under(shore - 0.014), -foam.under(shore + 0.004)), WHITE, opacity=0.95)
    sand = g.rows(0.68, 1.0)
    sand.texture("wide", 0.07)
    sand.dust(sand.plane("fine"), 0.62, (0.62, 0.49, 0.31), 0.35)
    _shells(g)


def _shells(g: Ground) -> None:
    view = g.rows(0.70, 1.0)
    for _ in range(2):
        x, y = g.any(0.05, 0.95), g.any(0.74, 0.96)
        view.paint(view.ellipse((x, y), (0.016, 0.011)), g.pick((0.98, 0.93, 0.88), (0.93, 0.74, 0.66)))


def snow(g: Ground) -> None:
    sky(g, 0.62)
    view = g.rows(0.06, 0.62)
    rock, shade = g.tone((0.44, 0.47, 0.56)), g.tone((0.66, 0.75, 0.90))
    side = g.any(-0.10, 0.10)
    jag = (view.plane("medium") if not g.flat else 0.0) * 0.03
    for x, top, slope in ((0.92, 0.26, 0.85), (0.12, 0.22, 0.80), (0.52, 0.13, 0.80)):
        x, top = x + side + g.any(-0.06, 0.06), top + g.any(-0.04, 0.06)
        aside = g.u - x[:, None, None]
        steep = slope * g.any(0.85, 1.2)[:, None, None]
        peak = view.under(top[:, None, None] + steep * aside.abs() + 0.012 * torch.sin(38 * aside).abs())
        view.paint(peak, (0.95, 0.97, 1.0), "mountains")
        drop = view.v - top[:, None, None]
        view.paint(torch.maximum(peak, (0.025 * torch.sin(30 * drop) - aside + jag) * g.scale), shade)
        teeth = 0.17 + 0.05 * torch.sin(33 * aside) + 0.03 * torch.sin(75 * aside + 1)
        cliff = (teeth - drop + 2 * jag).abs() - 0.045
        view.paint(torch.maximum(peak, cliff * g.scale), rock, opacity=0.75)
    slope = g.rows(0.46, 1.0)
    tilt = g.any(-0.05, 0.05)[:, None, None]
    edge = ridge(g, 0.545, 0.018, 0.8) + tilt * (g.u - 0.5)
    slope.paint(slope.under(edge), slope.fade((0.86, 0.91, 0.98), (0.98, 0.99, 1.0), 0.52, 0.8), "snow")
    slope.texture("coarse", 0.05)
    _tracks(g)
    fall = g.any() < 0.4
    flakes = g.plane("fine") - torch.where(fall, 0.0, 2.0)[:, None, None]
    g.dust(flakes, 0.66, (1.0, 1.0, 1.0), 0.9)


def _tracks(g: Ground) -> None:
    """Two ski tracks that wind down the slope, and flags on poles beside them."""
    view = g.rows(0.56, 1.0)
    x, lean, sway = (g.any(*ends)[:, None, None] for ends in ((0.25, 0.75), (-0.5, 0.5), (0.0, 1.0)))
    down = view.v - 0.55
    middle = x + lean * down + 0.05 * torch.sin(TURN * (2.2 * down + sway)) * (0.5 + 2 * down)
    track = ((g.u - middle).abs() - 0.02 - 0.05 * down).abs() - (0.003 + 0.012 * down)
    view.paint(torch.maximum(track * g.scale, (0.02 - down) * g.scale), (0.72, 0.80, 0.92), opacity=0.9)
    gates = g.rows(0.40, 0.64)
    for place, foot, colour in ((0.14, 0.62, (0.86, 0.14, 0.16)), (0.84, 0.60, (0.14, 0.34, 0.80))):
        u = place + g.any(-0.06, 0.06)
        gates.paint(gates.box((u, foot - 0.085), (0.007, 0.085)), colour, "poles")
        flag = gates.polygon([(u, foot - 0.17), (u + 0.075, foot - 0.142), (u, foot - 0.114)])
        gates.paint(flag, colour, "poles")


def field(g: Ground) -> None:
    sky(g, 0.52)
    hills = g.rows(0.28, 0.56)
    hills.paint(hills.under(ridge(g, 0.40, 0.045, 0.9)), g.tone((0.48, 0.62, 0.60)), "hills")
    hills.paint(hills.under(ridge(g, 0.445, 0.03, 1.3)), g.tone((0.36, 0.56, 0.28)), "grass")
    crop = g.pick((0.90, 0.80, 0.22), (0.72, 0.70, 0.32), (0.52, 0.66, 0.26))
    hills.paint(hills.under(ridge(g, 0.475, 0.012, 0.8)), crop, "grass")
    meadow = g.rows(0.46, 1.0)
    edge = ridge(g, 0.515, 0.012, 0.7)
    meadow.paint(
        meadow.under(edge), meadow.fade(g.tone((0.50, 0.68, 0.24)), g.tone((0.24, 0.50, 0.13)), 0.50, 1.0), "grass"
    )
    meadow.texture("tall", 0.20)
    blooms = g.rows(0.62, 1.0)
    blooms.dust(blooms.plane("fine"), 0.70, g.pick((0.98, 0.88, 0.25), (0.97, 0.96, 0.94), (0.88, 0.30, 0.28)))
    fence = g.rows(0.44, 0.60)
    wood = g.tone(g.pick(WOOD, (0.62, 0.56, 0.48), (0.93, 0.92, 0.88)))
    rails = joined(fence.band(0.492, 0.512), fence.band(0.540, 0.560))
    posts = within(fence.bars(g.u, 0.21, 0.013, g.any()), fence.band(0.468, 0.588))
    fence.paint(joined(rails, posts), wood, "fence")


def water(g: Ground) -> None:
    sky(g, 0.42)
    shore = g.rows(0.24, 0.46)
    shore.paint(shore.under(ridge(g, 0.345, 0.03, 0.8)), g.tone((0.46, 0.58, 0.66)), "hills")
    shore.paint(shore.under(ridge(g, 0.388, 0.016, 1.4)), g.tone((0.24, 0.42, 0.30)), "shore")
    lake = g.rows(0.41, 0.87)
    lake.paint(
        lake.under(0.425), lake.fade(g.tone((0.30, 0.50, 0.58)), g.tone((0.10, 0.34, 0.50)), 0.43, 0.85), "water"
    )
    glass = g.rows(0.41, 0.52)
    glass.paint(within(glass.under(0.425), -glass.under(ridge(g, 0.47, 0.016, 1.4))), (0.17, 0.33, 0.30), opacity=0.6)
    lake.texture("wide", 0.22)
    lake.dust(lake.plane("wide"), 0.55, (0.80, 0.90, 0.95), 0.5, 0.4)
    if g.flat:
        for height, right in ((0.52, 0.2), (0.60, 0.6), (0.68, 0.3), (0.77, 0.75)):
            lake.paint(lake.box((right, height), (0.09, 0.005)), (0.75, 0.87, 0.92))
    _jetty(g)


def _jetty(g: Ground) -> None:
    """Boards across the picture, on which one stands before the water, and the posts that carry them."""
    wood = g.tone(g.pick(WOOD, (0.60, 0.50, 0.40), (0.44, 0.36, 0.30)))
    posts = g.rows(0.70, 0.90)
    start = g.any(0.10, 0.22)
    for u in (start, start + g.any(0.5, 0.62)):
        posts.paint(posts.box((u, 0.82), (0.026, 0.075)), wood * 0.75, "jetty")
        posts.paint(posts.ellipse((u, 0.745), (0.026, 0.012)), wood * 1.2, "jetty")
    deck = g.rows(0.84, 1.0)
    deck.paint(deck.under(0.852), deck.fade(wood * 1.15, wood * 0.95, 0.85, 1.0), "jetty")
    deck.texture("tall", 0.10)
    fan = (g.u - 0.5) / (deck.v - 0.45)  # boards that run towards the viewer spread
    deck.paint(within(deck.bars(fan, 0.19, 0.010, g.any()), deck.under(0.868)), wood * 0.45)
    deck.paint(deck.band(0.852, 0.868), wood * 0.6)


def forest(g: Ground) -> None:
    wood = g.rows(0.0, 0.68)
    dark, pale = g.tone((0.16, 0.32, 0.16), 0.12), g.tone((0.52, 0.68, 0.36), 0.1)
    wood.paint(wood.under(-1.0), wood.fade(dark, pale, 0.0, 0.6), "trees")
    wood.texture("medium", 0.28)
    wood.dust(wood.plane("coarse") + 0.6 * wood.plane("fine"), 0.55, (0.90, 0.95, 0.68), 0.55, 0.5)
    birch = g.any() < 0.25
    bark = torch.where(birch[:, None], g.tone((0.84, 0.83, 0.78)), g.tone((0.36, 0.25, 0.16), 0.12))
    for layer, (count, half, foot, haze) in enumerate(
        ((6, 0.010, 0.60, 0.55), (3, 0.022, 0.635, 0.25), (2, 0.042, 0.69, 0.0))
    ):
        _trunks(g, count, half, foot, torch.lerp(bark, pale, haze), birch, layer)
        if layer == 1:
            _floor(g)
    crown = g.rows(0.0, 0.36)
    leaves = crown.v - 0.15 - 0.09 * g.any(0.5, 1.2)[:, None, None] * crown.plane("coarse")
    leaves = (leaves - 0.04 * crown.plane("medium")) * g.scale
    crown.paint(leaves, g.tone((0.20, 0.42, 0.14), 0.15), "trees")
    crown.dust(torch.minimum(crown.plane("medium"), -leaves / g.scale * 12), 0.25, (0.42, 0.64, 0.22), 0.6, 0.4)


def _trunks(g: Ground, count: int, half: float, foot: float, bark: Tensor, birch: Tensor, layer: int) -> None:
    """`count` trunks at once: the distance of each column of pixels to the nearest of them."""
    nearest = side = None
    for number in range(count):
        middle = (number + g.any(0.12, 0.88)) / count
        if layer == 2:  # the thick ones leave the middle free
            middle = torch.where(middle < 0.5, 0.55 * middle, 1 - 0.55 * (1 - middle))
        wide = half * g.any(0.75, 1.25)[:, None, None]
        aside = g.u - middle[:, None, None]
        near = aside.abs() - wide
        side = aside - 0.3 * wide if nearest is None else torch.where(near < nearest, aside - 0.3 * wide, side)
        nearest = near if nearest is None else torch.minimum(nearest, near)
    view = g.rows(0.0, foot + 0.02)
    flare = (view.v - foot + 0.07).clamp(min=0) * (0.35 if layer else 0.1)
    trunk = within((nearest - flare) * g.scale, -view.under(foot))
    view.paint(trunk, bark, "trees")
    view.paint(within(trunk, -side * g.scale), bark * 0.62)
    if layer:
        view.paint(within(trunk, view.bars(view.v, 0.13, 0.009, g.any())), (0.16, 0.15, 0.14), when=birch)


def _floor(g: Ground) -> None:
    view = g.rows(0.56, 1.0)
    edge = ridge(g, 0.60, 0.012, 1.1)
    view.paint(view.under(edge), view.fade(g.tone((0.42, 0.56, 0.22)), g.tone((0.22, 0.38, 0.12)), 0.6, 1.0), "grass")
    view.texture("tall", 0.16)
    down = view.v - 0.59
    middle = (
        0.5 + g.any(-0.15, 0.15)[:, None, None] + 0.10 * torch.sin(9 * down + 6 * g.any()[:, None, None]) * (0.3 + down)
    )
    path = ((g.u - middle).abs() - 0.03 - 0.42 * down) * g.scale
    view.paint(within(path, view.under(edge)), g.tone((0.60, 0.47, 0.32)), "path", when=g.any() < 0.75)
    view.dust(view.plane("fine"), 0.66, g.pick((0.74, 0.46, 0.18), (0.30, 0.46, 0.14)), 0.7)


DRAW = {"beach": beach, "snow": snow, "field": field, "water": water, "forest": forest}
