"""Rooms: kitchen, office, bedroom. What stands on a table stands on the line that `PLACES` states."""

from __future__ import annotations

import torch
from torch import Tensor

from data_fetch.worlds.raster import joined, within, without
from data_fetch.worlds.scenes.places_base import Ground

STEEL, WHITE, DARK = (0.72, 0.74, 0.76), (0.96, 0.96, 0.95), (0.15, 0.15, 0.17)


def _room(g: Ground, wall: Tensor, foot: float) -> None:
    """A wall down to the height `foot`, lit from one side, in warm or cold light."""
    warm = g.any(-0.04, 0.05)
    g.light.copy_(torch.stack([1 + warm, 1 + 0.25 * warm, 1 - warm], 1) * g.any(0.90, 1.04)[:, None])
    view = g.rows(0.0, foot)
    view.paint(view.under(-1.0), wall, "wall")
    if not g.flat:
        view.colours.mul_((1.05 - 0.12 * g.u)[:, None])


def _planks(g: Ground, top: float, wood: Tensor) -> None:
    view = g.rows(top, 1.0)
    view.paint(view.under(top), view.fade(wood * 0.85, wood * 1.05, top, 1.0), "floor")
    view.texture("wide", 0.10)
    view.paint(joined(*(view.band(h, h + 0.006) for h in (top + 0.03, top + 0.075, top + 0.13))), wood * 0.62)


def kitchen(g: Ground) -> None:
    _room(g, g.tone(g.pick((0.90, 0.90, 0.86), (0.80, 0.88, 0.90), (0.93, 0.86, 0.72), (0.80, 0.88, 0.78))), 0.64)
    tiles, pitch = g.rows(0.30, 0.64), 0.085
    grid = joined(tiles.bars(g.u, pitch, 0.0045, g.any()), tiles.bars(tiles.v, pitch, 0.0045))
    tiles.paint(within(grid, tiles.under(0.33)), (0.66, 0.67, 0.66), opacity=0.75)
    front = g.tone(g.pick((0.93, 0.92, 0.88), (0.62, 0.42, 0.26), (0.36, 0.52, 0.58), (0.52, 0.62, 0.48)))
    stove = g.any(0.60, 0.72)
    _cupboards(g, front, stove)
    _counter(g, front, stove)
    floor = g.rows(0.80, 1.0)
    pale, dark = g.tone((0.86, 0.83, 0.77)), g.tone(g.pick((0.52, 0.44, 0.38), (0.34, 0.38, 0.42), (0.66, 0.42, 0.32)))
    floor.paint(floor.under(0.818), pale, "floor")
    depth = floor.v - 0.55
    across = torch.sin(torch.pi * 1.9 * (g.u - 0.5) / depth)
    checks = across * torch.sin(torch.pi * 2.0 / depth)
    floor.paint(within(checks * 4.0, floor.under(0.835)), dark)


def _cupboards(g: Ground, front: Tensor, stove: Tensor) -> None:
    """Cupboards on the wall, and between them the hood above the stove, with a rail of ladles."""
    view = g.rows(0.0, 0.42)
    aside = (g.u - stove[:, None, None]).abs()
    outside = (0.17 - aside) * g.scale
    bottom = 0.30
    case = within(view.band(0.05, bottom), outside)
    view.paint(case, front, "cupboard")
    pitch = 0.21
    shift = -stove / pitch + 0.5 - 0.17 / pitch  # doors begin beside the hood
    view.paint(within(case, view.bars(g.u, pitch, 0.005, shift + 0.5)), front * 0.55)
    view.paint(within(case, view.band(bottom - 0.022, bottom)), front * 0.7)
    knobs = within(view.bars(g.u, pitch, 0.010, shift + 0.22), view.band(0.225, 0.255), outside)
    view.paint(knobs, (0.30, 0.28, 0.26))
    duct = within(view.under(-1.0), -view.under(0.20), (aside - 0.055) * g.scale)
    cone = within(view.band(0.20, 0.285), (aside - 0.055 - (view.v - 0.20) * 1.1) * g.scale)
    view.paint(joined(duct, cone), STEEL, "oven")
    view.paint(within(view.band(0.285, 0.312), (aside - 0.152) * g.scale), (0.50, 0.52, 0.55), "oven")
    rail = within(view.band(0.352, 0.360), (aside - 0.14) * g.scale)
    view.paint(rail, (0.45, 0.46, 0.48))


def _counter(g: Ground, front: Tensor, stove: Tensor) -> None:
    view = g.rows(0.44, 0.84)
    top = g.tone(g.pick((0.72, 0.55, 0.38), (0.82, 0.81, 0.78), (0.42, 0.42, 0.44)))
    aside = g.u - stove[:, None, None]
    tap = (stove - 0.40)[:, None]
    tap = [(tap[:, 0], 0.63), (tap[:, 0], 0.53), (tap[:, 0] + 0.055, 0.52), (tap[:, 0] + 0.06, 0.56)]
    view.paint(view.stroke(tap, 0.020), (0.56, 0.58, 0.62), "oven")
    view.paint(view.under(0.70), front * 0.92, "cupboard")
    doors = within(view.bars(g.u, 0.21, 0.005, -stove / 0.21 + 0.5), view.under(0.715))
    view.paint(joined(doors, view.band(0.745, 0.751)), front * 0.55)
    view.paint(within(view.bars(g.u, 0.21, 0.030, -stove / 0.21), view.band(0.722, 0.734)), (0.32, 0.30, 0.28))
    view.paint(view.under(0.802), (0.20, 0.19, 0.19), "cupboard")
    view.paint(view.band(0.622, 0.70), top, "table")
    view.paint(view.band(0.688, 0.704), top * 0.62, "table")
    hob = within((aside.abs() - 0.125 - (view.v - 0.63) * 0.2) * g.scale, view.band(0.630, 0.676))
    view.paint(hob, DARK)
    rings = joined(*(view.ellipse((stove + u, v), (0.045, 0.011)) for u, v in ((-0.058, 0.641), (0.062, 0.660))))
    view.paint(rings, g.pick((0.75, 0.26, 0.16), (0.42, 0.42, 0.44)))
    basin = within((aside + 0.38).abs().sub(0.09).mul(g.scale), view.band(0.634, 0.668))
    view.paint(basin, (0.55, 0.58, 0.61))
    door = within((aside.abs() - 0.125) * g.scale, view.band(0.704, 0.802))
    view.paint(door, (0.30, 0.31, 0.33), "oven")
    view.paint(within((aside.abs() - 0.095) * g.scale, view.band(0.742, 0.788)), (0.52, 0.36, 0.22))
    view.paint(
        within(view.bars(aside, 0.05, 0.010, 0.5), (aside.abs() - 0.1) * g.scale, view.band(0.714, 0.730)), WHITE
    )


def office(g: Ground) -> None:
    _room(g, g.tone(g.pick((0.84, 0.86, 0.87), (0.78, 0.83, 0.88), (0.88, 0.86, 0.80), (0.80, 0.85, 0.80))), 0.84)
    upper = g.rows(0.0, 0.16)
    upper.paint(-upper.under(0.085), (0.93, 0.93, 0.92), "ceiling")
    upper.paint(within(upper.bars(g.u, 0.5, 0.14, g.any()), upper.band(0.018, 0.058)), (1.0, 1.0, 0.96))
    upper.paint(upper.band(0.085, 0.094), (0.70, 0.71, 0.72), "ceiling")
    left = g.any(0.20, 0.26)
    _blinds(g, left)
    _board(g, left + g.any(0.47, 0.50))
    _desk(g)


def _blinds(g: Ground, middle: Tensor) -> None:
    view = g.rows(0.14, 0.58)
    view.paint(view.box((middle, 0.355), (0.165, 0.185)), (0.62, 0.63, 0.65), "window")
    pane = view.box((middle, 0.355), (0.148, 0.168))
    view.paint(pane, view.fade((0.93, 0.95, 0.96), (0.76, 0.80, 0.83), 0.19, 0.52), "window")
    view.paint(within(pane, view.bars(view.v, 0.042, 0.0085)), (0.52, 0.56, 0.62))
    view.paint(within(pane, ((g.u - middle[:, None, None] - 0.115).abs() - 0.003) * g.scale), (0.40, 0.42, 0.45))


def _board(g: Ground, middle: Tensor) -> None:
    """A whiteboard with a chart and notes, and a clock above it."""
    view = g.rows(0.10, 0.58)
    view.paint(view.box((middle, 0.385), (0.235, 0.155)), (0.46, 0.48, 0.51), "board")
    view.paint(view.box((middle, 0.385), (0.220, 0.140)), WHITE, "board")
    ink = g.pick((0.82, 0.20, 0.18), (0.16, 0.34, 0.74), (0.14, 0.50, 0.28))
    for number, colour in enumerate((ink, (0.25, 0.40, 0.70), ink, (0.88, 0.60, 0.16))):
        tall = g.any(0.025, 0.095)
        bar = view.box((middle - 0.16 + 0.045 * number, 0.485 - tall), (0.014, tall))
        view.paint(bar, colour)
    axis = joined(view.box((middle - 0.09, 0.490), (0.105, 0.005)), view.box((middle - 0.195, 0.40), (0.005, 0.09)))
    view.paint(axis, DARK)
    for row, colour in ((0.30, (0.98, 0.86, 0.35)), (0.385, (0.98, 0.62, 0.66)), (0.465, (0.62, 0.86, 0.60))):
        view.paint(view.box((middle + 0.135 + g.any(-0.02, 0.02), row), (0.034, 0.030)), colour)
    time = g.any(0.0, 6.28)
    spot = (middle + g.any(-0.12, 0.12), torch.full_like(middle, 0.165))
    view.paint(view.ellipse(spot, 0.056), DARK, "clock")
    view.paint(view.ellipse(spot, 0.044), WHITE, "clock")
    hands = [
        (spot[0] + 0.034 * torch.cos(time), spot[1] + 0.034 * torch.sin(time)),
        spot,
        (spot[0] + 0.004, spot[1] - 0.024),
    ]
    view.paint(view.stroke(hands, 0.011), DARK, "clock")


def _desk(g: Ground) -> None:
    carpet = g.rows(0.80, 1.0)
    tone = g.tone(g.pick((0.42, 0.47, 0.54), (0.52, 0.50, 0.46), (0.36, 0.44, 0.42), (0.50, 0.40, 0.40)))
    carpet.paint(carpet.under(0.812), carpet.fade(tone * 0.85, tone * 1.05, 0.81, 1.0), "floor")
    carpet.texture("fine", 0.07)
    carpet.paint(carpet.band(0.802, 0.816), (0.92, 0.92, 0.91), "wall")
    view = g.rows(0.58, 0.90)
    wood = g.tone(g.pick((0.72, 0.52, 0.33), (0.80, 0.64, 0.46), (0.52, 0.35, 0.22)))
    view.paint(view.band(0.695, 0.775), wood * 0.5, "table")
    chest = within(joined(view.box((0.14, 0.755), (0.115, 0.055)), view.box((0.86, 0.755), (0.115, 0.055))))
    view.paint(chest, (0.66, 0.68, 0.71), "cupboard")
    lines = within(chest, view.bars(view.v - 0.70, 0.044, 0.0045, 0.5))
    view.paint(lines, (0.42, 0.44, 0.47))
    grips = within(
        view.bars(view.v - 0.70, 0.044, 0.005, 0.0),
        joined(view.box((0.14, 0.755), (0.035, 0.05)), view.box((0.86, 0.755), (0.035, 0.05))),
    )
    view.paint(grips, (0.30, 0.31, 0.34))
    view.paint(view.band(0.622, 0.695), wood, "table")
    view.paint(view.band(0.680, 0.706), wood * 0.66, "table")
    view.paint(view.band(0.622, 0.630), wood * 1.12, "table")
    tray, sheet = g.any(0.12, 0.36), g.any(0.55, 0.85)
    for height in (0.614, 0.594):
        view.paint(view.box((tray, height), (0.075, 0.011)), (0.40, 0.42, 0.46), "board")
        view.paint(view.box((tray, height - 0.006), (0.066, 0.006)), WHITE, "board")
    paper = view.polygon([(sheet - 0.08, 0.664), (sheet - 0.05, 0.636), (sheet + 0.05, 0.640), (sheet + 0.03, 0.670)])
    view.paint(paper, WHITE, "table")


def bedroom(g: Ground) -> None:
    wall = g.tone(
        g.pick((0.80, 0.84, 0.90), (0.93, 0.84, 0.78), (0.86, 0.88, 0.76), (0.86, 0.78, 0.86), (0.94, 0.90, 0.78))
    )
    _room(g, wall, 0.82)
    view = g.rows(0.0, 0.64)
    view.paint(view.bars(g.u, 0.11, 0.022, g.any()), wall * 0.90 + 0.02)
    _window(g)
    frame = g.tone(g.pick((0.54, 0.36, 0.22), (0.36, 0.24, 0.16), (0.68, 0.52, 0.35)))
    planks = g.rows(0.78, 1.0)
    _planks(g, 0.80, g.tone(g.pick((0.66, 0.48, 0.32), (0.50, 0.36, 0.26), (0.76, 0.62, 0.46))))
    cloth = g.tone(
        g.pick((0.30, 0.44, 0.66), (0.72, 0.36, 0.36), (0.44, 0.58, 0.48), (0.62, 0.50, 0.70), (0.86, 0.72, 0.46))
    )
    rug = planks.ellipse((0.42, 0.915), (0.34, 0.065))
    planks.paint(rug, cloth * 0.5 + 0.42, "rug")
    planks.paint((rug + 0.018 * g.scale).abs() - 0.008 * g.scale, cloth * 0.8)
    _bed(g, frame, cloth)
    _sideboard(g, frame)


def _window(g: Ground) -> None:
    """A window with drawn curtains, or a picture: there is no sky in a room."""
    view = g.rows(0.08, 0.48)
    x = g.any(0.52, 0.66)
    drapes = g.tone(g.pick((0.86, 0.70, 0.56), (0.62, 0.70, 0.78), (0.80, 0.56, 0.58), (0.88, 0.86, 0.80)))
    curtain = view.box((x, 0.27), (0.20, 0.165))
    view.paint(curtain, drapes, "window")
    folds = view.bars(g.u - x[:, None, None], 0.08, 0.016, 0.5)
    view.paint(within(curtain, folds), drapes * 0.78)
    view.paint(view.box((x, 0.27), (0.05, 0.165)), (0.97, 0.95, 0.86))
    view.paint(view.box((x, 0.27), (0.006, 0.165)), (0.80, 0.76, 0.70))
    view.paint(view.box((x, 0.105), (0.225, 0.010)), (0.36, 0.26, 0.20), "window")
    view.paint(view.box((0.17, 0.27), (0.095, 0.075)), (0.42, 0.30, 0.20), "picture")
    view.paint(view.box((0.17, 0.27), (0.075, 0.055)), WHITE, "picture")
    art = g.pick((0.84, 0.46, 0.30), (0.30, 0.52, 0.60), (0.58, 0.44, 0.62))
    view.paint(within(view.box((0.17, 0.27), (0.055, 0.036)), view.ellipse((0.17, 0.30), (0.06, 0.05))), art)


def _bed(g: Ground, frame: Tensor, cloth: Tensor) -> None:
    """A bed seen from its long side: what lies or stands on it rests on the blanket's top."""
    feet, head = g.rows(0.72, 0.86), g.rows(0.44, 0.82)
    legs = joined(feet.box((0.05, 0.78), (0.018, 0.038)), feet.box((0.70, 0.78), (0.018, 0.038)))
    feet.paint(legs, frame * 0.7, "bed")
    head.paint(
        joined(head.box((0.045, 0.64), (0.030, 0.165)), head.ellipse((0.045, 0.475), (0.030, 0.02))), frame, "bed"
    )
    view = g.rows(0.57, 0.82)
    view.paint(view.box((0.38, 0.765), (0.34, 0.040)), frame * 0.86, "bed")
    view.paint(view.box((0.38, 0.675), (0.33, 0.065)), (0.84, 0.84, 0.86), "bed")
    view.paint(view.box((0.38, 0.630), (0.32, 0.020)), (0.96, 0.96, 0.96), "bed")
    pillow = g.rows(0.51, 0.66)
    pillow.paint(pillow.box((0.16, 0.588), (0.088, 0.050), 0.10, round=0.04), (0.74, 0.75, 0.80), "bed")
    pillow.paint(pillow.box((0.155, 0.580), (0.078, 0.040), 0.10, round=0.035), (0.98, 0.98, 0.97), "bed")
    blanket = view.box((0.48, 0.69), (0.235, 0.085), round=0.03)
    view.paint(blanket, cloth * 0.78, "bed")
    checks = within(blanket, joined(view.bars(g.u, 0.12, 0.014, g.any()), view.bars(view.v, 0.055, 0.007, 0.3)))
    view.paint(checks, cloth * 0.5 + 0.42, opacity=0.55, when=g.any() < 0.6)
    view.paint(within(blanket, -view.under(0.692)), cloth * 1.12 + 0.04, "bed")
    view.paint(view.box((0.262, 0.685), (0.030, 0.078)), (0.97, 0.97, 0.97), "bed")
    view.paint(
        joined(view.box((0.715, 0.70), (0.022, 0.105)), view.ellipse((0.715, 0.595), (0.022, 0.014))), frame, "bed"
    )


def _sideboard(g: Ground, frame: Tensor) -> None:
    view = g.rows(0.58, 0.86)
    view.paint(
        without(view.box((0.88, 0.79), (0.13, 0.028)), view.box((0.88, 0.80), (0.09, 0.02))), frame * 0.6, "sideboard"
    )
    view.paint(view.box((0.87, 0.735), (0.13, 0.075)), frame * 0.88, "sideboard")
    for height in (0.722, 0.776):
        view.paint(view.box((0.87, height), (0.112, 0.022)), frame * 1.05 + 0.03)
        view.paint(view.box((0.87, height), (0.020, 0.007)), (0.90, 0.82, 0.55))
    view.paint(view.box((0.87, 0.650), (0.135, 0.042)), frame * 1.15 + 0.05, "sideboard")
    view.paint(view.box((0.87, 0.690), (0.135, 0.008)), frame * 0.62, "sideboard")


DRAW = {"kitchen": kitchen, "office": office, "bedroom": bedroom}
