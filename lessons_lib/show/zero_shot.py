"""Lesson 08 in pictures: why a bird of a species never seen was recognised, and a desk to describe a new one at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from data_fetch.worlds.birds import GROUPS, from_attributes
from lessons_lib.experiments import niwt
from lessons_lib.explain import grad_cam
from lessons_lib.show.explorer import _VIEW, _widgets
from lessons_lib.show.figures import grid, show
from lessons_lib.show.picture import Picture
from lessons_lib.training.zero_shot import importances_of, look
from lessons_lib.training.zero_shot_sets import phrases_of

_PLAIN = "Menus to describe a bird with: they need a running kernel. The picture below shows one description."
OFFERED = ("has_crown_color", "has_throat_color", "has_breast_color", "has_belly_color", "has_wing_color",
           "has_bill_shape", "has_shape")  # fmt: skip
_AS_IT_IS = "as it is"


@dataclass(frozen=True)
class Explanation:
    """Why a picture was given to a class.

    cam (h, w) : Grad-CAM of the class's row.  attributes : the five that the inverse map names, best first.
    neurons : (number, its name, its activations (h, w)) of the three that contribute most to the class's score.
    """

    label: int
    cam: Tensor
    attributes: tuple[str, ...]
    neurons: tuple[tuple[int, str, Tensor], ...]


def explanation(model: niwt.Classifier, world: niwt.World, image: Tensor, label: int) -> Explanation:
    """Picture, words and neurons behind the score of class `label` for one image (1, 3, S, S)."""
    task, labels = world.task, torch.tensor([label], device=image.device)
    cam = grad_cam(model.network, image, label, world.last)[0]
    importance = F.normalize(importances_of(model.network, image, labels, world.layer, world.head), dim=1)
    with torch.no_grad():
        said = niwt.inverse_map(world)(importance)[0].topk(5).indices.tolist()
    activations = look(model.network, image, world.last, world.head)[0][0].detach()
    weights = model.network.get_submodule(world.head).weight[label].detach()
    names = niwt.neuron_names(world).argmax(1)
    best = (weights * activations.mean((1, 2))).topk(3).indices.tolist()
    return Explanation(
        label,
        cam,
        tuple(task.attribute_names[n] for n in said),
        tuple((k, task.attribute_names[int(names[k])], activations[k]) for k in best),
    )


def show_explanation(found: Explanation, world: niwt.World, image: Tensor) -> Picture:
    """The picture, Grad-CAM of the class, and its three neurons with focus and name; "yes": the class has the attribute."""
    true = world.task.attributes[found.label] > 0.5
    number = {name: n for n, name in enumerate(world.task.attribute_names)}
    maps = {"Grad-CAM": found.cam}
    scores = {"Grad-CAM": "of the new row"}
    for neuron, name, activations in found.neurons:
        maps[f"neuron {neuron}: {name}"] = activations
        scores[f"neuron {neuron}: {name}"] = "true of the class: " + ("yes" if true[number[name]] else "no")
    return show(image, maps, scores=scores, image_title=world.task.class_names[found.label], columns=5)


@dataclass(frozen=True)
class Tried:
    """A described bird: pictures of it, which of them were recognised among all seen species, and where Grad-CAM looked."""

    images: Tensor
    recognised: Tensor
    guesses: tuple[str, ...]
    maps: Tensor


def try_bird(
    world: niwt.World,
    choices: Mapping[str, str],
    *,
    like: str,
    text: str | None = None,
    count: int = 8,
) -> Tried:
    """A classifier for a bird of this description, without a picture of it, and then pictures of it to try it on.

    choices : values of some groups; the others are those of the species `like`.  text : describes the bird in words, and the
        classifier is made from them alone; pictures are drawn by `choices` all the same.
    The new bird competes with all seen species; the unseen ones are not asked.
    """
    size, task = niwt.SIZES[world.profile]["size"], world.task
    birds = from_attributes(dict(choices), count, size=size, seed=world.seed + 11, like=like)
    if text is None:
        described, arm = birds.class_attributes, "niwt"
    else:
        said = phrases_of(text)
        described, arm = torch.tensor([[float(phrase in said) for phrase in task.phrases]]), "niwt_sentences"
    device = task.attributes.device
    model = niwt.classifier_from(world, niwt.wanted_by(world, described.to(device), arm), arm=arm)
    images = birds.images.to(device)
    with torch.no_grad():
        best = model.network(images).argmax(1)
    names = (*task.class_names[: task.shown], "your bird")
    maps = grad_cam(model.network, images, task.shown, world.last, size="images")
    return Tried(images, best == task.shown, tuple(names[n] for n in best.tolist()), maps)


def show_tried(tried: Tried, shown: int = 8) -> Picture:
    """A sheet of the pictures, each with what it was taken for."""
    figure = grid(tried.images[:shown], titles=tried.guesses[:shown], columns=4)
    figure.alt = f"{int(tried.recognised.sum())} of {len(tried.recognised)} pictures recognised. {figure.alt}"
    return figure


class NewBird:
    """Menus for the looks of a bird; after each choice a classifier is made and tried on new pictures.

    `view` is the widget, or None without ipywidgets; `choices` the present description. Below the menus the pictures
    are stored, so that a page without a kernel shows one description.
    """

    def __init__(
        self, world: niwt.World, choices: Mapping[str, str], *, like: str, groups: Sequence[str] = OFFERED
    ) -> None:
        self.world, self.choices, self.like, self.view = world, dict(choices), like, None
        self.tried = try_bird(world, self.choices, like=like)
        widgets = _widgets()
        if widgets is None:
            return
        self.menus = {}
        for group in groups:
            menu = widgets.Dropdown(
                options=[_AS_IT_IS, *GROUPS[group]],
                value=self.choices.get(group, _AS_IT_IS),
                description=group.removeprefix("has_").replace("_", " "),
                style={"description_width": "110px"},
            )
            menu.observe(lambda change, group=group: self._choose(group, change["new"]), names="value")
            self.menus[group] = menu
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%", object_fit="contain"))
        self.text = widgets.HTML()
        self._draw()
        self.view = widgets.VBox([*self.menus.values(), self.picture, self.text])

    def _choose(self, group: str, value: str) -> None:
        self.choices.pop(group, None)
        if value != _AS_IT_IS:
            self.choices[group] = value
        self.tried = try_bird(self.world, self.choices, like=self.like)
        self._draw()

    def _draw(self) -> None:
        figure = self.static()
        self.picture.value, self.text.value = figure.png(), figure.alt

    def static(self) -> Picture:
        """The present description's pictures."""
        return show_tried(self.tried)

    def _ipython_display_(self) -> None:
        from IPython.display import display

        if self.view is not None:
            bundle = {_VIEW: {"version_major": 2, "version_minor": 0, "model_id": self.view.model_id}}
            display({**bundle, "text/plain": _PLAIN}, raw=True)
        display(self.static())
