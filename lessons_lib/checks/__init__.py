"""Checks of the exercises: each takes the learner's function, tries it on small cases and says what is wrong.

They work in any notebook, with or without nbgrader. A check prints one line when it passes and raises `CheckFailed`
with a diagnosis when it does not; the `NotImplementedError` of an untouched exercise passes through. One file a lesson
or two; all of them are found here: `checks.check_grad_cam_weights`.
"""

from lessons_lib.checks.compositional_reasoning import check_attention_term, check_other_image, check_quadrants
from lessons_lib.checks.consistency import check_importance_vector, check_ranking_hinge, check_ranking_metrics
from lessons_lib.checks.continual_learning import check_forgetting, check_map_loss, check_right_reasons
from lessons_lib.checks.core import CheckFailed
from lessons_lib.checks.distribution_shift import check_box_score, check_ranking_loss, check_zero_out
from lessons_lib.checks.domains import check_attended_features, check_foreground_loss, check_reverse_gradient
from lessons_lib.checks.explanations import (
    check_counterfactual,
    check_deletion_auc,
    check_energy_pointing,
    check_grad_cam_weights,
    check_guided_relu,
    check_integrated_gradients,
    check_pointing_game,
    check_rebalance,
)
from lessons_lib.checks.gender_bias import check_appearance_confusion, check_confident_quotient, check_token_mask
from lessons_lib.checks.language import check_caption_score, check_inside_outside
from lessons_lib.checks.localization import check_external_loss, check_mining_loss, check_soft_mask
from lessons_lib.checks.self_supervised import check_attention_loss, check_covered, check_info_nce
from lessons_lib.checks.text_and_video import check_order_score, check_spread_ngrams, check_time_weights
from lessons_lib.checks.vision_language import check_hard_negative_weights, check_word_map
from lessons_lib.checks.zero_shot import check_generalised_accuracy, check_importance_loss, check_transfer_loss

__all__ = [
    "CheckFailed",
    "check_appearance_confusion",
    "check_attended_features",
    "check_attention_loss",
    "check_attention_term",
    "check_box_score",
    "check_caption_score",
    "check_confident_quotient",
    "check_counterfactual",
    "check_covered",
    "check_deletion_auc",
    "check_energy_pointing",
    "check_external_loss",
    "check_foreground_loss",
    "check_forgetting",
    "check_generalised_accuracy",
    "check_grad_cam_weights",
    "check_guided_relu",
    "check_hard_negative_weights",
    "check_importance_loss",
    "check_importance_vector",
    "check_info_nce",
    "check_inside_outside",
    "check_integrated_gradients",
    "check_map_loss",
    "check_mining_loss",
    "check_order_score",
    "check_other_image",
    "check_pointing_game",
    "check_quadrants",
    "check_ranking_hinge",
    "check_ranking_loss",
    "check_ranking_metrics",
    "check_rebalance",
    "check_reverse_gradient",
    "check_right_reasons",
    "check_soft_mask",
    "check_spread_ngrams",
    "check_time_weights",
    "check_token_mask",
    "check_transfer_loss",
    "check_word_map",
    "check_zero_out",
]
