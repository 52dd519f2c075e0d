"""Birds in tasks: classes are numbered as they come, nobody comes twice, and two calls can share the species."""

from __future__ import annotations

import pytest
import torch

from data_fetch.worlds.birds.tasks import Tasks, bird_tasks


def test_tasks_bring_their_own_classes_with_so_many_pictures():
    tasks = bird_tasks(3, (4, 2, 2), (6, 3, 2), test=5, size=24)
    assert len(tasks) == 3 and tasks.seen == [4, 6, 8] and len(set(tasks.class_names)) == 8
    assert torch.bincount(tasks.labels).tolist() == [6] * 4 + [3] * 2 + [2] * 2
    assert torch.bincount(tasks.test_labels).tolist() == [5] * 8
    for task, classes in enumerate(([0, 1, 2, 3], [4, 5], [6, 7])):
        assert tasks.labels[tasks.rows(task)].unique().tolist() == classes
        assert tasks.test_labels[tasks.rows(task, test=True)].unique().tolist() == classes
    assert tasks.test_masks.shape == (40, 24, 24) and tasks.test_masks.any((1, 2)).all()


def test_the_seed_decides_everything_and_skipped_species_are_others():
    first, again = (bird_tasks(3, (2, 2), (3, 3), test=2, size=24) for _ in range(2))
    assert first.class_names == again.class_names and torch.equal(first.images, again.images)
    other, behind = bird_tasks(4, (2, 2), (3, 3), test=2, size=24), bird_tasks(3, (3,), (3,), test=2, size=24, skip=4)
    assert first.class_names != other.class_names
    assert not set(first.class_names) & set(behind.class_names)
    assert not any(torch.equal(a, b) for a in first.images for b in first.test_images)


def test_the_first_tasks_alone():
    tasks = bird_tasks(3, (2, 3, 2), (3, 2, 2), test=2, size=24)
    short = tasks.first(2)
    assert short.seen == [2, 5] and short.class_names == tasks.class_names[:5]
    assert torch.equal(short.images, tasks.images[tasks.labels < 5])
    assert torch.equal(short.test_masks, tasks.test_masks[tasks.test_labels < 5])
    with pytest.raises(ValueError, match="1 to 3, got 4"):
        tasks.first(4)


def test_what_cannot_be_asked():
    with pytest.raises(ValueError, match="one number >= 1 a task"):
        bird_tasks(0, (3, 3), (5,))
    with pytest.raises(ValueError, match="one number >= 1 a task"):
        bird_tasks(0, (3, 3), (5, 0))
    with pytest.raises(ValueError, match="79 classes behind 2 others"):
        bird_tasks(0, (79,), (5,), skip=2)
    tasks = bird_tasks(0, (2, 2), (2, 2), test=1, size=24)
    with pytest.raises(ValueError, match="tasks are 0 to 1, got 2"):
        tasks.rows(2)
    empty = torch.zeros(0, 3, 8, 8)
    with pytest.raises(ValueError, match="in the order of their tasks"):
        Tasks(("a", "b"), torch.tensor([1, 0]), empty, empty[:, 0, 0, 0], empty, empty[:, 0, 0, 0])
    with pytest.raises(ValueError, match="3 names do not fit 2 classes"):
        Tasks(("a", "b", "c"), torch.tensor([0, 1]), empty, empty[:, 0, 0, 0], empty, empty[:, 0, 0, 0])
