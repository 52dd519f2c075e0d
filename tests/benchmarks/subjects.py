"""What is measured: networks, and the same Grad-CAM by this library and by its peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytorch_grad_cam
import torch
import torch.nn.functional as F
import torchcam.methods
import torchvision.models
from captum.attr import LayerAttribution, LayerGradCam
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from lessons_lib.explain import find_layer, grad_cam
from lessons_lib.models import imagenet

LAYERS = {"resnet50": "layer4", "resnet18": "layer4", "vgg16": "features.29", "efficientnet_lite0": "network._bn1"}
SIDE = 224


@dataclass(frozen=True)
class Subject:
    """A network in eval mode, the layer that is explained, and a batch of images."""

    name: str
    model: nn.Module
    layer: nn.Module
    images: Tensor

    def plain(self) -> Tensor:
        with torch.no_grad():
            return self.model(self.images)

    def classes(self, count: int) -> Tensor:
        """(B, count) different classes an image, the same in every run."""
        generator = torch.Generator().manual_seed(count)
        draws = [torch.randperm(1000, generator=generator)[:count] for _ in self.images]
        return torch.stack(draws)

    def forget_gradients(self) -> None:
        """Some peers leave gradients in the parameters."""
        self.model.zero_grad(set_to_none=True)


def load(name: str) -> nn.Module:
    """EfficientNet-Lite0 with its trained weights, the others with random ones: speed does not depend on them."""
    if name == "efficientnet_lite0":
        return imagenet.load(name).eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torchvision.models.get_model(name, weights=None).eval()


def subject(name: str, model: nn.Module, batch: int) -> Subject:
    images = torch.rand(batch, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(batch))
    return Subject(name, model, find_layer(model, LAYERS[name]), images)


def ours(subject: Subject, classes: Tensor) -> Tensor:
    return grad_cam(subject.model, subject.images, classes, subject.layer, size="images")


def captum(subject: Subject, classes: Tensor) -> Tensor:
    method, maps = LayerGradCam(subject.model, subject.layer), []
    for column in classes.T:
        low = method.attribute(subject.images, target=column, relu_attributions=True)
        maps.append(LayerAttribution.interpolate(low, (SIDE, SIDE), "bilinear")[:, 0])
    return torch.stack(maps, 1)


def torchcam_(subject: Subject, classes: Tensor) -> Tensor:
    maps = []
    with torchcam.methods.GradCAM(subject.model, subject.layer) as method:
        scores = subject.model(subject.images)
        for number, column in enumerate(classes.T, start=1):
            keep = number < classes.shape[1]
            (low,) = method(column.tolist(), scores, normalized=False, retain_graph=keep)
            maps.append(F.interpolate(low[:, None], (SIDE, SIDE), mode="bilinear")[:, 0])
    return torch.stack(maps, 1)


def pytorch_grad_cam_(subject: Subject, classes: Tensor) -> Tensor:
    """Its maps are scaled to 0..1, each on its own, and come as a NumPy array."""
    maps = []
    with pytorch_grad_cam.GradCAM(subject.model, target_layers=[subject.layer]) as method:
        for column in classes.T:
            targets = [ClassifierOutputTarget(int(index)) for index in column]
            maps.append(torch.from_numpy(method(input_tensor=subject.images, targets=targets)))
    return torch.stack(maps, 1)


GradCam = Callable[[Subject, Tensor], Tensor]
OURS: dict[str, GradCam] = {"ours": ours}
PEERS: dict[str, GradCam] = {
    "captum": captum,
    "torchcam": torchcam_,
    "pytorch-grad-cam": pytorch_grad_cam_,
}


def check_agreement(subject: Subject) -> None:
    """The same work is compared: all maps are equal, pytorch-grad-cam's once ours are scaled as it scales."""
    classes = subject.classes(2)
    expected = ours(subject, classes)
    scaled = expected - expected.amin((2, 3), keepdim=True)
    scaled = scaled / scaled.amax((2, 3), keepdim=True).clamp(min=1e-12)
    for name, call in PEERS.items():
        want = scaled if name == "pytorch-grad-cam" else expected
        difference = (call(subject, classes) - want).abs().max().item() / max(want.abs().max().item(), 1e-12)
        if difference > 1e-4:
            raise AssertionError(f"{name}'s maps of {subject.name} differ from ours by {difference:.1e}")
    subject.forget_gradients()
