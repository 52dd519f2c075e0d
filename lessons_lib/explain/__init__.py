"""Where did the network look? Every explanation of the course, one function each, with one call over all of them.

`METHODS` lists them; `explain(model, images, target, method=...)` gives any of them as maps at image size.
"""

from __future__ import annotations

from importlib import import_module

_HOMES = {
    "inputs": ("check_images", "check_mode", "target_indices", "target_scores"),
    "layers": ("default_layer", "find_layer", "watch"),
    "maps": ("over_channels", "to_mass", "to_unit", "upsample"),
    "gradcam": ("cam", "channel_weights", "grad_cam"),
    "gradients": ("backprop", "gradient_x_input", "integrated_gradients", "smoothgrad"),
    "guided": ("deconvnet", "guided_backprop", "guided_grad_cam"),
    "relevance": ("Balance", "COMPOSITES", "Composite", "lrp"),
    "perturbation": ("occlusion", "rise"),
    "surrogates": ("kernel_shap", "kernel_shap_values", "lime", "shapley"),
    "segments": ("segments_to_map", "superpixels"),
    "cross_attention": ("cross_rollout", "matching_logit", "sentence_map", "word_maps"),
    "attention": ("attention_rollout", "vit_attention"),
    "words": ("gradient_words", "gradient_x_input_words", "grad_cam_words", "occlusion_words", "winning_ngrams"),
    "video": (
        "background_difference",
        "frame_difference",
        "grad_cam_video",
        "gradient_video",
        "occlusion_video",
        "order_score",
    ),
    "registry": ("METHODS", "Method", "explain"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    """Import a method's file when it is first asked for: `import lessons_lib.explain` itself costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
