"""What is looked at after each task: accuracy on every task so far, and where the evidence for old pictures went."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from data_fetch.worlds.birds.tasks import Tasks
from lessons_lib.evidence.forgetting import map_drift
from lessons_lib.evidence.localisation import pointing_game
from lessons_lib.explain import grad_cam, upsample
from lessons_lib.feedback.rrr import ReplayBuffer
from lessons_lib.training.continual_memory import restored

WATCHED = 6  # test pictures of the first task whose maps are recorded after every task


def watched_rows(tasks: Tasks) -> Tensor:
    """Rows of the watched test pictures: the first ones of the first task."""
    return tasks.rows(0, test=True)[:WATCHED]


class Looking:
    """For `learn_tasks(look=...)`: what it returns is a record of tensors, which a checkpoint can hold.

    accuracy, drift, pointing (T,), NaN for tasks to come : on test pictures; see `experiments.rrr.measure`.
    then (n,), maps (n, h, w) : of the test pictures of the task just learned, the class predicted now and its Grad-CAM.
    kept_then, kept_maps : the same of the pictures kept of it.  kept_drift (1,) : of those kept before.
    watched (W, h, w), watched_said (W,) : Grad-CAM of the true class, and the answer, of the watched pictures.  task (1,).
    `seconds` adds up the time it took.  tell : called with the task and the average accuracy so far; None: nothing is told.
    """

    def __init__(self, tasks: Tasks, *, batch: int = 200) -> None:
        self.tasks, self.batch, self.seconds = tasks, batch, 0.0
        self.tell: Callable[[int, float], None] | None = None

    def __call__(self, model: nn.Module, task: int, buffer: ReplayBuffer, records: list) -> dict[str, Tensor]:
        began = time.perf_counter()
        tasks, classes = self.tasks, self.tasks.seen[task]
        found = {name: torch.full((len(tasks),), torch.nan) for name in ("accuracy", "drift", "pointing")}
        for t in range(task + 1):
            rows = tasks.rows(t, test=True)
            labels = tasks.test_labels[rows].cpu()
            then = records[t]["then"] if t < len(records) else None
            maps, said = self._maps(model, tasks.test_images, rows, labels, then, classes)
            found["accuracy"][t] = (said == labels).float().mean()
            if tasks.test_masks is not None:
                found["pointing"][t] = self._pointing(maps[:, 0], rows)
            if then is not None:
                found["drift"][t] = map_drift(maps[:, 1], records[t]["maps"]).mean()
            elif t == task:
                found["then"], found["maps"], found["drift"][t] = said, maps[:, 1], torch.zeros(())
        if len(buffer):
            found |= self._kept(model, task, buffer, records, classes)
        rows = watched_rows(tasks)
        maps, found["watched_said"] = self._maps(
            model, tasks.test_images, rows, tasks.test_labels[rows].cpu(), None, classes
        )
        found["watched"], found["task"] = maps[:, 0], torch.tensor([task])
        self.seconds += time.perf_counter() - began
        if self.tell is not None:
            self.tell(task, float(found["accuracy"].nanmean()))
        return found

    def _maps(self, model, images, rows: Tensor, labels: Tensor, then: Tensor | None, classes: int):
        """(maps (n, 2, h, w) for the label and for `then` or, where that is None, the answer; the answers (n,))."""
        device, maps, answers = next(model.parameters()).device, [], []
        for part in torch.arange(len(rows)).split(self.batch):
            some = images[rows[part.to(rows.device)]].to(device)
            if then is None:
                with torch.no_grad():
                    other = model(some)[:, :classes].argmax(1)
            else:
                other = then[part].to(device)
            targets = torch.stack([labels[part].to(device), other], 1)
            found, logits = grad_cam(model, some, targets, model.explain_layer, return_output=True)
            maps.append(found.cpu())
            answers.append(logits[:, :classes].argmax(1).cpu())
        return torch.cat(maps), torch.cat(answers)

    def _pointing(self, maps: Tensor, rows: Tensor) -> Tensor:
        masks = self.tasks.test_masks[rows].cpu()
        some = masks.any((1, 2))
        return pointing_game(upsample(maps[some], tuple(masks.shape[1:])), masks[some]).mean()

    def _kept(self, model, task: int, buffer: ReplayBuffer, records: list, classes: int) -> dict[str, Tensor]:
        kept, images = buffer.kept, restored(buffer.kept.images)
        new = (self.tasks.task_of.to(kept.labels.device)[kept.labels] == task).nonzero()[:, 0]
        old = (self.tasks.task_of.to(kept.labels.device)[kept.labels] != task).nonzero()[:, 0]
        maps, said = self._maps(model, images, new, kept.labels[new].cpu(), None, classes)
        found = {"kept_then": said, "kept_maps": maps[:, 1]}
        if len(old):
            then, before = (torch.cat([r[name] for r in records]) for name in ("kept_then", "kept_maps"))
            now, _ = self._maps(model, images, old, kept.labels[old].cpu(), then, classes)
            found["kept_drift"] = map_drift(now[:, 1], before).mean()[None]
        return found
