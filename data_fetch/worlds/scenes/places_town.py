"""Places that people built under the sky: street and tennis court."""

from __future__ import annotations

import torch
from torch import Tensor

from data_fetch.worlds.raster import joined, within
from data_fetch.worlds.scenes.places_base import Ground, sky

WHITE = (0.97, 0.97, 0.96)


def street(g: Ground) -> None:
    sky(g, 0.40)
    _houses(g)
    paved = g.rows(0.60, 0.72)
    paved.paint(paved.under(0.612), g.tone((0.70, 0.69, 0.67)), "pavement")
    paved.paint(
        within(paved.bars(g.u, 0.125, 0.005, g.any()), paved.band(0.618, 0.68)), (0.52, 0.51, 0.50), opacity=0.6
    )
    road = g.rows(0.67, 1.0)
    road.paint(road.under(0.688), road.fade(g.tone((0.30, 0.31, 0.33)), g.tone((0.38, 0.39, 0.41)), 0.68, 1.0), "road")
    road.texture("fine", 0.07)
    kerb = g.rows(0.66, 0.70)
    kerb.paint(kerb.band(0.668, 0.686), (0.86, 0.85, 0.82), "pavement")
    marks = g.rows(0.80, 0.88)
    marks.paint(within(marks.bars(g.u, 0.27, 0.075, g.any()), marks.band(0.828, 0.852)), (0.95, 0.94, 0.88))
    road.paint(road.under(0.972), (0.88, 0.80, 0.40), opacity=0.9)


def _houses(g: Ground) -> None:
    """A row of house fronts: what differs from house to house is a number for each column of pixels."""
    count, n = 6, len(g)
    wide = torch.stack([g.any(0.75, 1.3) for _ in range(count)], 1) / 4.1
    edges = wide.cumsum(1) - g.any(0.0, 0.15)[:, None]
    column = g.u[:, 0]
    house = (column[:, :, None] > edges[:, None, :]).sum(-1).clamp(max=count - 1)
    width = wide.gather(1, house)[:, None]
    along = (column[:, None] - (edges.gather(1, house)[:, None] - width)) / width  # 0 to 1 across the house
    tall = torch.stack([g.any(0.06, 0.24) for _ in range(count)], 1).gather(1, house)[:, None]
    gabled = torch.stack([g.any() for _ in range(count)], 1).gather(1, house)[:, None] < 0.5
    front = torch.stack([g.tone(g.pick(*_FRONTS), 0.08) for _ in range(count)], 1)
    front = front.gather(1, house[:, :, None].expand(n, -1, 3)).transpose(1, 2)[:, :, None]
    roof = tall + torch.where(gabled, 0.9 * width * (along - 0.5).abs(), 0.0)
    view = g.rows(0.05, 0.62)
    wall = view.under(roof)
    view.paint(wall, front, "buildings")
    view.paint(within(wall, -view.under(roof + 0.022)), front * 0.6)
    storey = 0.115
    panes = 2 + (width > 0.26)
    across = (torch.remainder(along * panes, 1) - 0.5).abs() * width / panes
    upper = within(-view.under(0.475), view.under(tall + torch.where(gabled, 0.55 * width, 0.05)))
    level = view.bars(view.v - 0.485, storey, 0.034)
    for grow, colour in ((0.009, (0.93, 0.92, 0.88)), (0.0, g.pick((0.22, 0.28, 0.36), (0.36, 0.46, 0.56)))):
        glass = within((across - 0.026 - grow) * g.scale, level - grow * g.scale)
        view.paint(within(glass, upper), colour)
    low = g.rows(0.46, 0.62)
    door = torch.stack([g.any(0.2, 0.8) for _ in range(count)], 1).gather(1, house)[:, None]
    shop = within(((along - 0.5).abs() * width - 0.40 * width) * g.scale, low.band(0.535, 0.605))
    low.paint(shop, (0.30, 0.38, 0.44))
    low.paint(within(((along - door).abs() * width - 0.026) * g.scale, low.under(0.515)), front * 0.42)
    awning = within(((along - 0.5).abs() * width - 0.46 * width) * g.scale, low.band(0.492, 0.532))
    cloth = torch.where(torch.remainder(along * 5, 1)[:, None] < 0.5, 0.95, 1.0) * _awning(g, house)
    low.paint(awning, cloth)
    view.paint(within(((along - 0.5).abs() * -width + 0.495 * width) * g.scale, wall), front * 0.55, opacity=0.7)


_FRONTS = (
    (0.68, 0.33, 0.25), (0.86, 0.76, 0.56), (0.82, 0.83, 0.82), (0.80, 0.60, 0.42), (0.58, 0.68, 0.74),
    (0.74, 0.50, 0.48), (0.90, 0.86, 0.72), (0.55, 0.44, 0.38),
)  # fmt: skip


def _awning(g: Ground, house: Tensor) -> Tensor:
    palette = [(0.78, 0.22, 0.20), (0.20, 0.46, 0.36), (0.92, 0.88, 0.80), (0.24, 0.36, 0.60)]
    cloth = torch.stack([g.pick(*palette) for _ in range(6)], 1)
    return cloth.gather(1, house[:, :, None].expand(len(g), -1, 3)).transpose(1, 2)[:, :, None]


def court(g: Ground) -> None:
    sky(g, 0.30)
    back = g.rows(0.14, 0.48)
    screen = g.tone(g.pick((0.12, 0.34, 0.24), (0.14, 0.26, 0.44), (0.20, 0.36, 0.20)))
    top = g.any(0.20, 0.26)
    back.paint(back.under(top), screen, "fence")
    back.paint(within(back.bars(g.u, 0.18, 0.007, g.any()), back.under(top - 0.02)), (0.55, 0.58, 0.58), "fence")
    back.paint(back.band(top - 0.012, top + 0.008), (0.60, 0.63, 0.63), "fence")
    pairs = torch.tensor(_COURTS, device=g.u.device)[(g.any() * len(_COURTS)).long()]
    ground = g.rows(0.42, 1.0)
    ground.paint(ground.under(0.44), g.tone(pairs[:, 0]), "court")
    field = ground.polygon([(0.24, 0.475), (0.76, 0.475), (1.04, 0.955), (-0.04, 0.955)])
    ground.paint(field, g.tone(pairs[:, 1]))
    sides = joined(
        ground.stroke([(0.24, 0.475), (-0.04, 0.955)], 0.018), ground.stroke([(0.76, 0.475), (1.04, 0.955)], 0.018)
    )
    inner = joined(
        ground.stroke([(0.30, 0.475), (0.085, 0.955)], 0.014), ground.stroke([(0.70, 0.475), (0.915, 0.955)], 0.014)
    )
    across = within(joined(ground.band(0.470, 0.480), ground.band(0.943, 0.967)), (field - 0.009 * g.scale))
    service = joined(ground.box((0.5, 0.755), (0.325, 0.008)), ground.box((0.5, 0.685), (0.008, 0.07)))
    ground.paint(joined(sides, inner, across, service), WHITE)
    ground.texture("fine", 0.03)
    _net(g)


_COURTS = (  # around the lines, within them
    ((0.25, 0.50, 0.36), (0.22, 0.38, 0.66)),
    ((0.62, 0.34, 0.24), (0.78, 0.44, 0.28)),
    ((0.60, 0.30, 0.28), (0.28, 0.54, 0.38)),
    ((0.30, 0.52, 0.24), (0.42, 0.64, 0.30)),
)


def _net(g: Ground) -> None:
    view = g.rows(0.47, 0.64)
    sag = 0.512 + 0.014 * (1 - (2 * g.u - 1).square())
    whole = within(view.under(sag), -view.under(0.618), ((g.u - 0.5).abs() - 0.47) * g.scale)
    view.paint(whole, (0.10, 0.12, 0.13), "net", opacity=0.42)
    mesh = joined(view.bars(g.u, 0.045, 0.006), view.bars(view.v, 0.034, 0.005))
    view.paint(within(whole, mesh), (0.06, 0.07, 0.08), opacity=0.55)
    tape = within(whole, joined(-view.under(sag + 0.024), (g.u - 0.5).abs().mul(g.scale) - 0.009 * g.scale))
    view.paint(tape, WHITE, "net")
    posts = view.box((0.5, 0.56), (0.485, 0.062))
    view.paint(within(posts, (0.465 - (g.u - 0.5).abs()) * g.scale), (0.20, 0.22, 0.24), "net")


DRAW = {"street": street, "court": court}
