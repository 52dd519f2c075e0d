"""Every method of the course through the one call over all of them, on one small network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lessons_lib.explain import METHODS, explain
from lessons_lib.models.small import SmallCNN

FAST = {"rise": {"masks": 8}, "lime": {"samples": 20}, "kernel_shap": {"samples": 20}, "smoothgrad": {"samples": 2}}
IMAGE_METHODS = [name for name in METHODS if name != "attention_rollout"]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return SmallCNN(4, seed=0).eval()


@pytest.mark.parametrize("name", IMAGE_METHODS)
def test_every_method_gives_finite_maps_at_image_size(net, name):
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    options = FAST.get(name, {})
    one = explain(net, images, [1, 3], name, seed=3, **options)
    assert one.shape == (2, 32, 32) and torch.isfinite(one).all() and one.any() and not one.requires_grad
    if not METHODS[name].signed:
        assert (one >= 0).all()
    two = explain(net, images, torch.tensor([[1, 0], [3, 2]]), name, seed=3, **options)
    assert two.shape == (2, 2, 32, 32)
    torch.testing.assert_close(two[:, 0], one, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["rise", "lime", "smoothgrad", "kernel_shap"])
def test_sampling_methods_obey_the_seed_and_leave_the_global_one(net, name):
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    state = torch.get_rng_state()
    options = dict(FAST[name])
    if name == "kernel_shap":  # enough players that not every coalition is enumerated
        place = torch.arange(32) // 8
        options["segments"] = (4 * place[:, None] + place).expand(1, 32, 32)
    a, b, c = (explain(net, images, 1, name, seed=s, **options) for s in (5, 5, 6))
    assert torch.equal(a, b) and not torch.equal(a, c) and torch.equal(state, torch.get_rng_state())


def test_unknown_method_and_option():
    net, images = SmallCNN(2, seed=0).eval(), torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match="unknown method 'gradcam'; choose one of backprop"):
        explain(net, images, 0, "gradcam")
    with pytest.raises(TypeError, match="rise takes no option 'windows'; its options are"):
        explain(net, images, 0, "rise", windows=3)


def test_no_file_hides_a_function_of_the_same_name():
    """`from lessons_lib.explain import lrp` must be the function, whatever was imported before."""
    import pkgutil
    from importlib import import_module

    import lessons_lib.explain as package

    for info in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{info.name}")
    for name in package.__all__:
        assert type(getattr(package, name)).__name__ != "module", name
