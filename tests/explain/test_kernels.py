"""`cam_map` in plain torch, and its Triton kernels held to it: interpreted, and compiled, without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from kernel_cases import CASES, DOUBLE, compare, make_inputs

from lessons_lib.explain import kernels
from lessons_lib.explain.kernels import cam_map

SCRIPT = Path(__file__).with_name("kernel_cases.py")


def run_as_script(*arguments: str, **environment: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


needs_triton = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Triton has no build for this system")


@pytest.fixture(scope="module")
def measured() -> dict:
    return run_as_script("interpret", TRITON_INTERPRET="1")


@needs_triton
@pytest.mark.parametrize("name", CASES)
def test_kernels_equal_plain_torch(measured, name):
    options, result = CASES[name][3], measured[name]
    assert result["alike"] and result["finite"]
    assert result["nonzero"] is (options.get("fill") != "negative")
    assert result["forward"] < 1e-5
    half = "dtype" in options  # a gradient in half precision may round to the neighbouring number
    assert result["backward"] < (1e-2 if half else 1e-5)


@needs_triton
@pytest.mark.parametrize("name", DOUBLE)
def test_kernels_double_backward(measured, name):
    assert measured[name]["nonzero"]
    assert measured[name]["double"] < 1e-5


@needs_triton
@pytest.mark.parametrize("mode", ["None", "unit", "mass"])
def test_kernels_gradient_is_the_slope_of_their_forward(measured, mode):
    assert measured["directional"][mode] < 2e-2


@needs_triton
def test_environment_variable_chooses_the_kernels(measured):
    assert measured["chosen"] == {"float32": "_CamMapBackward", "float64": "torch.float64"}


@needs_triton
def test_kernels_compile_for_a_gpu(tmp_path):
    sizes = run_as_script("compile", TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path))
    assert len(sizes) == 14
    assert min(sizes.values()) > 1000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_both_ways_agree_on_a_gpu():
    from lessons_lib.explain import triton_kernels

    for name, case in CASES.items():
        result = compare(triton_kernels.cam_map, *case, device="cuda")
        assert result["alike"] and result["finite"], name
        assert result["forward"] < 1e-5, name
        assert result["backward"] < (1e-2 if "dtype" in case[3] else 1e-5), name


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("normalise", [None, "unit", "mass"])
def test_torch_path_equals_the_formula(seed, normalise):
    features, weights = make_inputs((2, 8, 5, 6), 3, {"seed": seed})
    expected = torch.einsum("btc,bchw->bthw", weights, features).clamp(min=0)
    if normalise == "unit":
        expected = expected / expected.amax((2, 3), keepdim=True)
    if normalise == "mass":
        expected = expected / expected.sum((2, 3), keepdim=True)
    torch.testing.assert_close(cam_map(features, weights, normalise=normalise), expected)
    large = F.interpolate(expected, (17, 20), mode="bilinear", align_corners=False)
    torch.testing.assert_close(cam_map(features, weights, normalise=normalise, size=(17, 20)), large)


@pytest.mark.parametrize("normalise", [None, "unit", "mass"])
@pytest.mark.parametrize("size", [None, (5, 7)])
def test_torch_path_derivatives(normalise, size):
    inputs = [tensor.detach().double().requires_grad_() for tensor in make_inputs((1, 3, 2, 3), 2, {"seed": 5})]

    def function(features, weights):
        return cam_map(features, weights, normalise=normalise, size=size)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("normalise", ["unit", "mass"])
def test_zero_map_stays_zero(normalise):
    inputs = make_inputs((1, 3, 4, 4), 2, {"fill": "negative"})
    maps = cam_map(*inputs, normalise=normalise, size=(8, 8))
    assert not maps.any()
    for grad in torch.autograd.grad(maps.sum(), inputs):
        assert torch.isfinite(grad).all()


@pytest.mark.parametrize("positions", [(9,), (2, 3, 4)])
def test_any_number_of_axes(positions):
    features, weights = torch.rand(2, 5, *positions), torch.rand(2, 3, 5)
    maps = cam_map(features, weights, normalise="mass")
    assert maps.shape == (2, 3, *positions)
    torch.testing.assert_close(maps.flatten(2).sum(2), torch.ones(2, 3))
    with pytest.raises(ValueError, match="size"):
        cam_map(features, weights, size=(8, 8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    features, weights = torch.ones(1, 4096, 2, 2, dtype=dtype), torch.ones(1, 1, 4096, dtype=dtype)
    weights[0, 0, 0] = 2  # 4097 needs more bits than either format has
    maps = cam_map(features, weights)
    assert maps.dtype == torch.float32 and bool((maps == 4097).all())
    with torch.autocast("cpu", torch.bfloat16):
        maps = cam_map(features.float(), weights.float())
    assert maps.dtype == torch.float32 and bool((maps == 4097).all())


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((2, 3, 4, 4), (2, 3)), {}, "weights"),
        (((2, 3, 4, 4), (1, 1, 3)), {}, "weights"),
        (((2, 3, 4, 4), (2, 1, 4)), {}, "weights"),
        (((2, 3), (2, 1, 3)), {}, "positions"),
        (((2, 3, 0, 4), (2, 1, 3)), {}, "empty"),
        (((2, 3, 4, 4), (2, 1, 3)), {"normalise": "max"}, "'unit' or 'mass'"),
        (((2, 3, 4, 4), (2, 1, 3)), {"normalise": "unit", "relu": False}, "relu=True"),
        (((2, 3, 4, 4), (2, 1, 3)), {"size": (0, 4)}, "size"),
        (((2, 3, 4, 4), (2, 1, 3)), {"size": (4, 4, 4)}, "size"),
    ],
)
def test_bad_input_is_named(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        cam_map(torch.rand(shapes[0]), torch.rand(shapes[1]), **options)


def test_environment_variable_is_checked(monkeypatch):
    features, weights = torch.rand(1, 2, 3, 3), torch.rand(1, 1, 2)
    expected = cam_map(features, weights)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("LESSONS_KERNELS", "torch")
    assert torch.equal(cam_map(features, weights), expected)
    monkeypatch.setenv("LESSONS_KERNELS", "cuda")
    with pytest.raises(ValueError, match="LESSONS_KERNELS"):
        cam_map(features, weights)
    monkeypatch.setenv("LESSONS_KERNELS", "triton")
    with pytest.raises(RuntimeError, match="TRITON_INTERPRET"):
        cam_map(features, weights)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr(kernels.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="not installed"):
        cam_map(features, weights)


def test_auto_goes_on_without_a_working_triton(monkeypatch):
    def broken():
        raise OSError("no compiler")

    device = torch.device("cpu")  # only named here: the broken loader fails before anything runs on it
    kernels._works_on.cache_clear()
    monkeypatch.setattr(kernels, "_load", broken)
    monkeypatch.setattr(kernels.importlib.util, "find_spec", lambda name: object())
    with pytest.warns(UserWarning, match="no compiler"):
        assert kernels._works_on(device) is False
    kernels._works_on.cache_clear()
    monkeypatch.setattr(kernels.importlib.util, "find_spec", lambda name: None)
    assert kernels._works_on(device) is False
    kernels._works_on.cache_clear()


def test_triton_is_not_imported_before_it_is_needed():
    code = (
        "import sys, torch; before = 'triton' in sys.modules\n"
        "from lessons_lib.explain.kernels import cam_map\n"
        "cam_map(torch.rand(1, 2, 3, 3), torch.rand(1, 1, 2), size=(6, 6))\n"
        "assert ('triton' in sys.modules) == before\n"
        "assert 'lessons_lib.explain.triton_kernels' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
