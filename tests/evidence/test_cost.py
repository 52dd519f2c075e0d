"""The cost meter on calls whose passes and allocations are known."""

from __future__ import annotations

import copy
import time

import pytest
import torch
from torch import nn

from lessons_lib.evidence import Cost, cost, peak_memory
from lessons_lib.explain import grad_cam

MB = 2**20


def megabytes(count: float) -> torch.Tensor:
    return torch.empty(int(count * MB), dtype=torch.uint8)


def net(classes: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(8, classes)
    ).eval()


def images(batch: int = 4) -> torch.Tensor:
    return torch.rand(batch, 3, 16, 16, generator=torch.Generator().manual_seed(0))


# --- memory


@pytest.mark.parametrize("count", [1, 3, 10])
def test_peak_of_tensors_kept_together(count):
    assert peak_memory(lambda: [megabytes(2) for _ in range(count)]) == 2 * count * MB


def test_what_is_freed_does_not_count_twice():
    def one_after_the_other() -> None:
        for _ in range(5):
            megabytes(3)

    assert peak_memory(one_after_the_other) == 3 * MB


def test_the_peak_is_in_the_middle():
    def call() -> torch.Tensor:
        kept = megabytes(1)
        block = [megabytes(4), megabytes(5)]  # the peak: 10
        del block
        rest = megabytes(6)  # 7
        return torch.cat([kept, rest[:0]])  # 8

    assert peak_memory(call) == 10 * MB


def test_views_and_operations_in_place_allocate_nothing():
    mine = torch.zeros(MB, dtype=torch.uint8)

    def call() -> torch.Tensor:
        mine.add_(1)
        mine[: MB // 2].view(2, -1).t().mul_(2)
        return mine.view(4, -1)

    assert peak_memory(call) == 0
    assert mine[0] == 2  # the call did run


def test_a_view_keeps_its_whole_storage_alive():
    def call() -> tuple:
        view = megabytes(4)[:10]
        return view, megabytes(2)

    assert peak_memory(call) == 6 * MB


def test_activations_kept_for_the_backward_pass_are_counted():
    """Ten sigmoids: without a graph two tensors are alive at a time, with it all ten outputs."""
    x = torch.rand(MB // 4, requires_grad=True)

    def forward() -> torch.Tensor:
        value = x
        for _ in range(10):
            value = value.sigmoid()
        return value

    with torch.no_grad():
        assert peak_memory(forward) == 2 * MB
    assert peak_memory(forward) == 10 * MB
    backward = peak_memory(lambda: torch.autograd.grad(forward().sum(), x))
    assert 10 * MB < backward <= 13 * MB


def test_memory_of_a_linear_layer():
    layer, x = nn.Linear(256, 1024), torch.rand(512, 256)
    with torch.no_grad():
        assert peak_memory(lambda: layer(x)) == 512 * 1024 * 4


def test_it_is_the_same_number_in_every_run():
    model, x = net(), images()
    peaks = {peak_memory(lambda: grad_cam(model, x, 1, layer="0")) for _ in range(4)}
    assert len(peaks) == 1 and peaks.pop() > 0


def test_an_error_in_the_call_gets_through_and_the_meter_stops():
    with pytest.raises(RuntimeError, match="mine"):
        peak_memory(lambda: (_ for _ in ()).throw(RuntimeError("mine")))
    assert peak_memory(lambda: megabytes(1)) == MB


# --- passes


def counted(explain, model=None, batch: int = 4) -> tuple[float, float]:
    model = model or net()
    measured = cost(lambda: explain(model, images(batch)), model, images(batch), repeats=1)
    return measured.forward_passes, measured.backward_passes


def forward_only(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(x)


def gradient(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(model(x)[:, 0].sum(), x)[0]


@pytest.mark.parametrize("batch", [1, 4])
def test_passes_of_known_calls(batch):
    assert counted(forward_only, batch=batch) == (1, 0)
    assert counted(gradient, batch=batch) == (1, 1)
    assert counted(lambda m, x: [gradient(m, x) for _ in range(5)], batch=batch) == (5, 5)
    assert counted(lambda m, x: forward_only(m, x.repeat(7, 1, 1, 1)), batch=batch) == (7, 0)
    assert counted(lambda m, x: None, batch=batch) == (0, 0)


def test_half_the_batch_is_half_a_pass():
    assert counted(lambda m, x: forward_only(m, x[:2])) == (0.5, 0)
    assert counted(lambda m, x: gradient(m, x[:1])) == (0.25, 0.25)


@pytest.mark.parametrize("targets", [1, 3, 6])
def test_gradients_that_travel_together_are_counted_one_by_one(targets):
    def several(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        x = x.clone().requires_grad_()
        rows = model(x)[:, :targets].sum(0)
        return torch.autograd.grad(rows, x, torch.eye(targets), is_grads_batched=True)[0]

    assert counted(several) == (1, targets)


def test_grad_cam_takes_one_pass_each_way_and_none_back_with_a_linear_head():
    assert counted(lambda m, x: grad_cam(m, x, 1, layer="0")) == (1, 1)
    assert counted(lambda m, x: grad_cam(m, x, torch.tensor([[0, 1, 2]] * 4), layer="0")) == (1, 3)
    gap = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 6)).eval()
    assert counted(lambda m, x: grad_cam(m, x, 1, layer="0"), gap) == (1, 0)


def test_what_a_first_call_does_once_is_not_counted():
    model, x = net(), images()
    assert counted(lambda m, x: grad_cam(m, x, 1), model)[0] == 1  # its first call looks for the default layer
    once = []

    def lazy() -> torch.Tensor:
        if not once:
            once.append(forward_only(model, x.repeat(9, 1, 1, 1)))
        return forward_only(model, x)

    measured = cost(lazy, model, x, repeats=2)
    assert measured.forward_passes == 1 and measured.memory_ratio == 1


def test_a_copy_of_the_model_and_keyword_arguments_are_counted_too():
    assert counted(lambda m, x: forward_only(copy.deepcopy(m), x)) == (1, 0)

    class Named(nn.Module):
        def forward(self, scale: float = 2.0, *, images: torch.Tensor) -> dict:
            return {"logits": images.flatten(1) * scale}

    inner = Named()

    class Outer(nn.Module):
        def forward(self, x: torch.Tensor) -> dict:
            return inner(3.0, images=x)

    measured = cost(lambda: inner(images=images(8)), Outer(), images())
    assert measured.forward_passes == 0  # another module than the one that is watched


# --- ratios


def test_a_plain_forward_pass_costs_one():
    model, x = net(), images(16)
    measured = cost(lambda: forward_only(model, x), model, x, repeats=9)
    assert isinstance(measured, Cost)
    assert measured.memory_ratio == 1
    assert 0.3 < measured.seconds_ratio < 3
    assert measured.peak_bytes >= 16 * 8 * 14 * 14 * 4


def test_the_time_ratio_is_the_ratio_of_the_times():
    class Slow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            time.sleep(0.01)
            return x.flatten(1) * 2

    model, x = Slow(), images()
    measured = cost(lambda: [model(x) for _ in range(4)], model, x, repeats=3)
    assert 2.5 < measured.seconds_ratio < 6
    assert measured.seconds >= 0.04
    assert measured.forward_passes == 4


def test_the_memory_ratio_of_a_known_call():
    """A model that puts out one tensor of its input's size: a call that keeps five of them costs five."""

    class Double(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    model, x = Double(), images()
    assert cost(lambda: [model(x) for _ in range(5)], model, x).memory_ratio == 5


def test_nothing_is_left_behind():
    model, x = net(), images()
    cost(lambda: gradient(model, x), model, x, repeats=1)
    with pytest.raises(RuntimeError, match="mine"):
        cost(lambda: (_ for _ in ()).throw(RuntimeError("mine")), model, x)
    assert not model._forward_hooks
    assert all(p.grad is None for p in model.parameters())


def test_errors():
    model, x = net(), images()
    with pytest.raises(ValueError, match="repeats"):
        cost(lambda: None, model, x, repeats=0)
    with pytest.raises(ValueError, match="4 axes"):
        cost(lambda: None, model, x[0])
    with pytest.raises(ValueError, match="allocates nothing"):
        cost(lambda: None, nn.Identity(), x)
    with pytest.raises(ValueError, match="training mode"):
        cost(lambda: None, nn.Sequential(nn.BatchNorm2d(3), model).train(), x)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu():
    assert peak_memory(lambda: torch.empty(8 * MB, dtype=torch.uint8, device="cuda"), "cuda") == 8 * MB
    model, x = net().cuda(), images().cuda()
    measured = cost(lambda: gradient(model, x), model, x)
    assert (measured.forward_passes, measured.backward_passes) == (1, 1)
    assert measured.memory_ratio > 1 and measured.seconds_ratio > 0
