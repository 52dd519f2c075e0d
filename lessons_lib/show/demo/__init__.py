"""The web demo: classify, caption and ask, with the maps of several explanation methods side by side."""

from lessons_lib.show.demo.page import Demo, demo

__all__ = ["Demo", "demo"]
