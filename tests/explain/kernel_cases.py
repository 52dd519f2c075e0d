"""What the kernels are tried on, and a script that tries them: `kernel_cases.py interpret` or
`kernel_cases.py compile`.

Triton decides when a kernel is defined whether to interpret it, so `test_kernels.py` runs this file in a
process of its own, with `TRITON_INTERPRET` set, and reads what it measured as JSON.
"""

from __future__ import annotations

import json
import os
import sys

import torch

from lessons_lib.explain import kernels
from lessons_lib.explain.kernels import cam_map, torch_cam_map

# name: (features' shape, targets, size, options)
CASES = {
    "square": ((2, 40, 7, 7), 1, (32, 32), {}),
    "one_target_large": ((1, 70, 7, 7), 1, (112, 112), {}),
    "signed": ((2, 40, 5, 7), 2, (23, 31), {"relu": False}),
    "odd": ((1, 33, 5, 9), 3, (23, 31), {"seed": 1}),
    "own_resolution": ((2, 17, 6, 6), 5, None, {"seed": 2}),
    "own_resolution_unit": ((2, 17, 6, 6), 5, None, {"normalise": "unit"}),
    "unit": ((2, 20, 7, 9), 3, (30, 41), {"normalise": "unit", "seed": 3}),
    "unit_other_seed": ((1, 48, 6, 7), 1, (25, 29), {"normalise": "unit", "seed": 4}),
    "mass": ((2, 20, 7, 9), 3, (30, 41), {"normalise": "mass", "seed": 5}),
    "many_targets": ((1, 18, 3, 2), 37, (7, 5), {"normalise": "mass"}),
    "one_row": ((2, 12, 1, 6), 2, (5, 13), {"normalise": "unit"}),
    "one_column": ((1, 12, 6, 1), 2, (13, 5), {"normalise": "mass"}),
    "one_position": ((1, 8, 1, 1), 1, (4, 4), {"relu": False}),
    "one_channel": ((2, 1, 3, 3), 2, (7, 7), {}),
    "wide": ((1, 10, 3, 40), 2, (6, 90), {"normalise": "unit"}),
    "shrink": ((1, 10, 9, 40), 2, (4, 7), {"normalise": "mass"}),
    "zero_maps": ((1, 6, 4, 4), 2, (9, 9), {"normalise": "unit", "fill": "negative"}),
    "zero_maps_mass": ((1, 6, 4, 4), 2, (9, 9), {"normalise": "mass", "fill": "negative"}),
    "ties": ((2, 4, 4, 5), 2, (9, 9), {"normalise": "unit", "fill": "ties"}),
    "channels_last": ((2, 20, 5, 6), 2, (11, 12), {"layout": "channels_last"}),
    "cropped": ((2, 9, 5, 6), 2, (11, 12), {"layout": "cropped"}),
    "transposed": ((2, 9, 5, 6), 2, (11, 12), {"layout": "transposed", "normalise": "mass"}),
    "tokens": ((2, 9, 4, 4), 2, (8, 8), {"layout": "tokens"}),
    "expanded_gradient": ((2, 9, 5, 6), 2, (11, 12), {"gradient": "expanded"}),
    "features_only": ((1, 9, 5, 6), 1, (11, 12), {"inputs": (0,)}),
    "weights_only": ((1, 9, 5, 6), 1, (11, 12), {"inputs": (1,)}),
    "float16": ((1, 24, 5, 5), 2, (10, 10), {"dtype": "float16"}),
    "bfloat16": ((1, 24, 5, 5), 2, (10, 10), {"dtype": "bfloat16", "normalise": "unit"}),
}
DOUBLE = {
    "double": ((1, 6, 4, 5), 2, (9, 11), {}),
    "double_unit": ((2, 6, 4, 5), 1, (9, 11), {"normalise": "unit", "seed": 7}),
    "double_mass": ((1, 6, 4, 5), 2, None, {"normalise": "mass", "seed": 8}),
    "double_signed": ((1, 6, 4, 5), 2, (9, 11), {"relu": False, "seed": 9}),
}


def make_inputs(shape: tuple, targets: int, options: dict, device: str = "cpu") -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(options.get("seed", 0))
    batch, channels, h, w = shape
    layout = options.get("layout")
    made = {"cropped": (batch, channels, h + 2, w + 2), "transposed": (batch, channels, w, h)}.get(layout, shape)
    features = torch.randn(made, generator=generator)
    weights = torch.randn(batch, targets, channels, generator=generator)
    if options.get("fill") == "negative":
        features, weights = features.abs(), -weights.abs()
    if options.get("fill") == "ties":  # whole numbers: several positions share the maximum exactly
        features, weights = features.round().clamp(-1, 1), weights.sign()
    features = features.to(getattr(torch, options.get("dtype", "float32")))
    if layout == "channels_last":
        features = features.to(memory_format=torch.channels_last)
    if layout == "cropped":
        features = features[:, :, 1:-1, 1:-1]
    if layout == "transposed":
        features = features.transpose(2, 3)
    if layout == "tokens":  # (B, 1 + h w, C), a class token first
        tokens = torch.cat([features.new_zeros(batch, 1, channels), features.flatten(2).transpose(1, 2)], 1)
        features = tokens[:, 1:].transpose(1, 2).unflatten(2, (h, w))
    return [features.to(device).requires_grad_(), weights.to(device).requires_grad_()]


def error(got: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, relative to the largest value (to 1 where all of them are smaller than 0.1)."""
    scale = expected.abs().max().item()
    return (got - expected).abs().max().item() / (scale if scale > 0.1 else 1.0)


def compare(way, shape: tuple, targets: int, size: tuple | None, options: dict, device: str = "cpu") -> dict:
    """Errors of `way` against plain torch: of the maps and of the gradients to features and weights."""
    inputs = make_inputs(shape, targets, options, device)
    wanted = [inputs[i] for i in options.get("inputs", (0, 1))]
    for tensor in inputs:
        tensor.requires_grad_(any(tensor is other for other in wanted))
    flags = (options.get("relu", True), options.get("normalise"))
    got, expected = way(*inputs, *flags, size), torch_cam_map(*inputs, *flags, size)
    if options.get("gradient") == "expanded":
        grad = torch.full((1, 1, 1, 1), 0.7, device=device).expand_as(expected)
    else:
        grad = torch.randn(expected.shape, generator=torch.Generator().manual_seed(99)).to(device)
    grads = torch.autograd.grad(got, wanted, grad)
    expected_grads = torch.autograd.grad(expected, wanted, grad)
    errors = [error(a.float(), b.float()) for a, b in zip(grads, expected_grads)]
    alike = all(a.dtype == b.dtype and a.shape == b.shape for a, b in zip((got, *grads), (expected, *expected_grads)))
    return {
        "forward": error(got, expected),
        "backward": max(errors),
        "alike": alike,
        "finite": all(bool(torch.isfinite(tensor).all()) for tensor in (got, *grads)),
        "nonzero": bool(expected.any()),
    }


def compare_double(way, shape: tuple, targets: int, size: tuple | None, options: dict) -> dict:
    """Errors of a penalty on the gradient: its own gradients need a double backward."""
    flags, found = (options.get("relu", True), options.get("normalise")), []
    for function in (way, torch_cam_map):
        inputs = make_inputs(shape, targets, options)
        inner = torch.autograd.grad(function(*inputs, *flags, size).square().sum(), inputs, create_graph=True)
        found.append(torch.autograd.grad(sum(g.square().sum() for g in inner), inputs))
    return {
        "double": max(error(a, b) for a, b in zip(*found)),
        "nonzero": all(bool(g.any()) for g in found[1]),
    }


def directional_error(way, normalise: str | None) -> float:
    """The gradient of `way` along a random direction against a central difference of its own forward."""
    inputs = make_inputs((1, 6, 4, 4), 2, {"seed": 11})
    generator = torch.Generator().manual_seed(12)
    probe = torch.randn(1, 2, 9, 9, generator=generator)
    steps = [1e-3 * torch.randn(tensor.shape, generator=generator) for tensor in inputs]
    loss = [
        (way(*(x.detach() + sign * s for x, s in zip(inputs, steps)), True, normalise, (9, 9)) * probe).double().sum()
        for sign in (1, -1)
    ]
    grads = torch.autograd.grad((way(*inputs, True, normalise, (9, 9)) * probe).sum(), inputs)
    analytic = sum((g * s).sum().item() for g, s in zip(grads, steps))
    return abs((loss[0] - loss[1]).item() / 2 - analytic) / abs(analytic)


def interpret() -> dict:
    from lessons_lib.explain import triton_kernels

    way = triton_kernels.cam_map
    measured = {name: compare(way, *case) for name, case in CASES.items()}
    measured |= {name: compare_double(way, *case) for name, case in DOUBLE.items()}
    measured["directional"] = {str(mode): directional_error(way, mode) for mode in (None, "unit", "mass")}
    os.environ["LESSONS_KERNELS"] = "triton"
    maps = cam_map(*make_inputs((1, 5, 3, 3), 2, {}), size=(6, 6))
    doubles = cam_map(*(tensor.double() for tensor in make_inputs((1, 5, 3, 3), 2, {})), size=(6, 6))
    measured["chosen"] = {"float32": maps.grad_fn.name(), "float64": str(doubles.dtype)}
    return measured


def compile_all(capability: int) -> dict:
    """Every kernel compiled to machine code for a GPU that need not be there."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from lessons_lib.explain import triton_kernels as module

    def build(name: str, pointers: dict, **constants) -> int:
        kernel = getattr(module, name)
        signature = {arg: "constexpr" if arg in constants else pointers.get(arg, "i32") for arg in kernel.arg_names}
        built = triton.compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", capability, 32))
        return len(built.asm["cubin"])

    floats = dict.fromkeys(("left", "right", "out", "partials", "low", "grad", "sums", "ties"), "*fp32")
    sizes = {}
    for mode in ("none", "unit", "mass"):
        statistic = {"NORMALISE": mode, "TILES": 2, "EPS": kernels.EPS}
        for rows in (1, 16):
            tiles = {"ROWS": rows, "COLUMNS": 32, "INNER": 32}
            name = f"product_{mode}_{rows}"
            sizes[name] = build("_product", floats | {"right": "*bf16"}, RELU=True, STATISTIC=mode, **tiles)
        sizes[f"resample_{mode}"] = build("_resample", floats, PIXELS=1024, **statistic)
        sizes[f"adjoint_{mode}"] = build("_adjoint", floats, RELU=True, PLACES=8, PIXELS=64, **statistic)
        if mode != "none":
            through = build("_through_normalisation", floats, PROGRAMS=8, PLACES=256, **statistic)
            sizes[f"through_{mode}"] = through
    return sizes


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(interpret() if sys.argv[1] == "interpret" else compile_all(80)))
