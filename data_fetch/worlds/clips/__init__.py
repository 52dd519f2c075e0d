"""The clips world: a hand does something to a thing on a table; pairs of classes differ in the order of frames alone."""

from data_fetch.worlds.clips.actions import CLASSES, ONE_WAY, PAIRS, SYMMETRIC, THINGS
from data_fetch.worlds.clips.stored import Bytes
from data_fetch.worlds.clips.world import ClipsWorld, clips

__all__ = ["CLASSES", "ONE_WAY", "PAIRS", "SYMMETRIC", "THINGS", "Bytes", "ClipsWorld", "clips"]
