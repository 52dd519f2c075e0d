"""Is it right, and for the right reason? Localisation, faithfulness, sanity checks, cost, claims."""

from lessons_lib.evidence.cost import Cost, cost, peak_memory
from lessons_lib.evidence.faithfulness import (
    Curve,
    area_mean,
    blur,
    deletion,
    insertion,
    occlusion_correlation,
    rank_correlation,
)
from lessons_lib.evidence.grounding import chosen_proposals, grounding_accuracy
from lessons_lib.evidence.localisation import (
    box_iou,
    box_of_map,
    boxes_of_masks,
    energy_pointing,
    inside_outside,
    largest_component,
    mask_iou,
    masks_from_boxes,
    pointing_game,
    threshold,
)
from lessons_lib.evidence.sanity import (
    cascading_randomisation,
    centre_gaussian,
    independent_randomisation,
    layers_top_down,
    map_similarity,
    permute_labels,
    randomise,
)
from lessons_lib.evidence.statistics import Claim, Interval, paired_interval, t_interval

__all__ = [
    "Claim",
    "Cost",
    "Curve",
    "Interval",
    "area_mean",
    "blur",
    "box_iou",
    "box_of_map",
    "boxes_of_masks",
    "cascading_randomisation",
    "centre_gaussian",
    "chosen_proposals",
    "cost",
    "deletion",
    "energy_pointing",
    "grounding_accuracy",
    "independent_randomisation",
    "insertion",
    "inside_outside",
    "largest_component",
    "layers_top_down",
    "map_similarity",
    "mask_iou",
    "masks_from_boxes",
    "occlusion_correlation",
    "paired_interval",
    "peak_memory",
    "permute_labels",
    "pointing_game",
    "randomise",
    "rank_correlation",
    "t_interval",
    "threshold",
]
