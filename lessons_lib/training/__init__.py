"""The one training loop: a generator of steps. A plain loop drives it in scripts, an asyncio task drives it
live.

Everything random follows from `seed` and the number of the step, so that a training that was interrupted goes
on to exactly the weights of one that was not.
"""

from __future__ import annotations

from lessons_lib.training.checkpoint import CheckpointError
from lessons_lib.training.fit import fit, fit_steps
from lessons_lib.training.live import LiveSession
from lessons_lib.training.plan import Plan, as_columns
from lessons_lib.training.steps import History, StepReport, cross_entropy, learning_rate, training_steps

__all__ = [
    "CheckpointError",
    "History",
    "LiveSession",
    "Plan",
    "StepReport",
    "as_columns",
    "cross_entropy",
    "fit",
    "fit_steps",
    "learning_rate",
    "training_steps",
]
