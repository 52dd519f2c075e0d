"""Which methods the tabs of the web demo offer, which are ticked at the start, and which are slow."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from lessons_lib.explain import METHODS


@dataclass(frozen=True)
class Offer:
    """A method as a tab offers it: its name in `METHODS`, ticked at the start or not, and its options.

    slow : about how long it takes, in words; "" for the methods that answer at once.
    later : shown in a second step, so that the other maps need not wait for it; slow ones come in a third.
    """

    method: str
    on: bool = False
    slow: str = ""
    later: bool = False
    options: dict[str, object] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """In which step its map is shown: 0, 1 or 2."""
        return 2 if self.slow else int(self.later)

    @property
    def label(self) -> str:
        return METHODS[self.method].label


# Occlusion shows by how much the probability falls, as in its paper; of photographs it covers larger patches than by
# default, two sevenths of the side: 36 forward passes instead of 169.
PHOTO_OFFERS = (
    Offer("grad_cam", True),
    Offer("guided_grad_cam", True),
    Offer("guided_backprop", True),
    Offer("occlusion", True, later=True, options={"window": 64, "stride": 32, "score": "probability", "batch_size": 2}),
    Offer("lrp", True, later=True),
    Offer("backprop"),
    Offer("gradient_x_input"),
    Offer("deconvnet"),
    Offer("integrated_gradients", slow="32 steps, 5 s", options={"steps": 32}),
    Offer("lime", slow="500 samples, 20 s", options={"samples": 500, "batch_size": 2}),
    Offer("rise", slow="500 masks, 20 s", options={"masks": 500, "batch_size": 2}),
)


def _small(**score: object) -> tuple[Offer, ...]:
    """For the small models of scenes, with which everything is quick; score : what perturbations look at."""
    return (
        Offer("grad_cam", True),
        Offer("guided_grad_cam", True),
        Offer("guided_backprop", True),
        Offer("occlusion", True, options=score),
        Offer("backprop", True),
        Offer("gradient_x_input"),
        Offer("deconvnet"),
        Offer("integrated_gradients"),
        Offer("lime", slow="2 s", options=score),
        Offer("rise", slow="2 s", options=score),
    )


ANSWER_OFFERS = _small(score="probability")
WORD_OFFERS = _small(score=torch.exp)  # a captioner's scores are log-probabilities of words, each for itself
