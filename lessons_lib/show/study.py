"""A trust study with the reader as its subject, after the human study of the Grad-CAM paper (section 5.2, arXiv 1610.02391).

Two models give the same, right answer for each picture. The reader sees one map of each, side by side and
in random order, and says which model seems more reliable, from -2 (clearly the left one) to +2 (clearly the
right one). Trust is appropriate when the answers favour the model that is really better.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lessons_lib.evidence.statistics import Claim
from lessons_lib.show.figures import grid, show

SCALE = {-2: "clearly left", -1: "rather left", 0: "no difference", 1: "rather right", 2: "clearly right"}


@dataclass
class Trial:
    """One question: a picture, the two models' maps by method, and on which side the better model's map is shown."""

    image: Tensor
    better: Tensor
    weaker: Tensor
    method: str
    better_is_right: bool
    answer: int | None = None

    @property
    def score(self) -> int | None:
        """The answer in favour of the better model, -2 to 2."""
        if self.answer is None:
            return None
        return self.answer if self.better_is_right else -self.answer

    def picture(self, title: str = ""):
        """The two maps side by side; nothing tells which model is which."""
        left, right = (self.weaker, self.better) if self.better_is_right else (self.better, self.weaker)
        return show(self.image, {"left model": left, "right model": right}, image_title=title, columns=3)


class TrustStudy:
    """A shuffled list of questions, the reader's answers, and what they show.

    Parameters
    ----------
    images : (N, 3, H, W) in [0, 1], pictures that both models classify correctly.
    maps : for each method (better (N, H, W), weaker (N, H, W)): the maps of the better and of the weaker
        model.
    seed : order of the questions and sides.

    Raises
    ------
    ValueError : no image, or maps whose number does not fit the images.
    """

    def __init__(self, images: Tensor, maps: dict[str, tuple[Tensor, Tensor]], *, seed: int = 0) -> None:
        if len(images) == 0 or not maps:
            raise ValueError("a study needs at least one image and one method")
        for method, pair in maps.items():
            if len(pair) != 2 or any(len(side) != len(images) for side in pair):
                raise ValueError(f"{method}: a pair of {len(images)} maps, one an image, is needed")
        generator = torch.Generator().manual_seed(seed)
        questions = [(method, i) for method in maps for i in range(len(images))]
        sides = torch.rand(len(questions), generator=generator) < 0.5
        self.trials = [
            Trial(images[i], maps[m][0][i], maps[m][1][i], m, bool(side)) for (m, i), side in zip(questions, sides)
        ]
        self.trials = [self.trials[i] for i in torch.randperm(len(questions), generator=generator).tolist()]

    def __len__(self) -> int:
        return len(self.trials)

    def answer(self, answers: list[int]) -> TrustStudy:
        """Enter answers to the first len(answers) questions, each from -2 (left) to 2 (right)."""
        if len(answers) > len(self.trials):
            raise ValueError(f"{len(answers)} answers for {len(self.trials)} questions")
        for number, value in enumerate(answers):
            if value not in SCALE:
                raise ValueError(f"answer {number + 1} is {value!r}; one of -2, -1, 0, 1, 2 is expected")
        for trial, value in zip(self.trials, answers):
            trial.answer = int(value)
        return self

    def sheet(self, count: int = 4):
        """The first questions as one static picture: left and right map of each."""
        cells, titles = [], []
        for number, trial in enumerate(self.trials[:count], start=1):
            left, right = (trial.weaker, trial.better) if trial.better_is_right else (trial.better, trial.weaker)
            cells += [trial.image, _on_picture(trial.image, left), _on_picture(trial.image, right)]
            titles += [f"question {number}", "left model", "right model"]
        return grid(cells, titles=titles, columns=6)

    def results(self) -> list[Claim]:
        """For each method: the mean score in favour of the better model with its 95 % t-interval over questions."""
        claims = []
        for method in dict.fromkeys(trial.method for trial in self.trials):
            scores = [t.score for t in self.trials if t.method == method and t.answer is not None]
            if scores:
                text = f"{method}: your answers favour the better model (-2 to 2, {len(scores)} answers)"
                claims.append(Claim.value(f"trust.{method}", text, scores, threshold=0.0))
        return claims

    def widget(self):
        """Questions one by one with five buttons; needs ipywidgets."""
        import ipywidgets as widgets

        picture, line = widgets.Image(format="png"), widgets.HTML()
        buttons = [widgets.Button(description=text) for text in SCALE.values()]

        def refresh() -> None:
            pending = next((i for i, t in enumerate(self.trials) if t.answer is None), None)
            if pending is None:
                line.value = "Thank you. " + "<br>".join(map(str, self.results()))
                for button in buttons:
                    button.disabled = True
                return
            line.value = f"Question {pending + 1} of {len(self)}: both models are right. Which one is more reliable?"
            picture.value = self.trials[pending].picture().png()

        def choose(value: int):
            def click(_button) -> None:
                next(trial for trial in self.trials if trial.answer is None).answer = value
                refresh()

            return click

        for button, value in zip(buttons, SCALE):
            button.on_click(choose(value))
        refresh()
        return widgets.VBox([line, picture, widgets.HBox(buttons)])


def _on_picture(image: Tensor, values: Tensor) -> Tensor:
    from lessons_lib.show.overlay import as_map, as_picture, blend

    pixels = blend(as_picture(image), as_map(values))
    return torch.as_tensor(pixels).permute(2, 0, 1).float() / (255 if pixels.max() > 1 else 1)
