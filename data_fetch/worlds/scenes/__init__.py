"""The scenes world: people and things in places, with captions, questions, masks and the biases a lesson asks for."""

from data_fetch.worlds.scenes.questions import SceneQuestions, ask, reason
from data_fetch.worlds.scenes.sampling import Knobs
from data_fetch.worlds.scenes.single import Objects, objects
from data_fetch.worlds.scenes.world import Scenes, scenes

__all__ = ["Knobs", "Objects", "SceneQuestions", "Scenes", "ask", "objects", "reason", "scenes"]
