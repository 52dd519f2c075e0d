"""Pre-training of the vision-language transformer: its columns, its losses, and that it learns."""

from __future__ import annotations

import pytest
import torch

from data_fetch.worlds.scenes import ask, scenes
from data_fetch.worlds.scenes.pairs import captioned
from lessons_lib.models.vision_language import MASK
from lessons_lib.training import fit
from lessons_lib.training.vision_language import (
    LENGTH,
    columns,
    pretrain,
    pretraining_loss,
    question_words,
    some_patches,
)

WORLD = {
    "places": ("street", "water"),
    "things": ("dog", "car", "boat"),
    "home": None,
    "objects": (1, 2),
    "people": 0.3,
}
BUILD = {"strides": (4, 2), "width": 16, "heads": 2, "image_blocks": 1, "text_blocks": 1, "fusion_blocks": 2}


@pytest.fixture(scope="module")
def small():
    world = scenes(160, size=32, seed=3, style="flat", repeat=0.0, **WORLD)
    asked = ask(world, per_image=2, kinds=("colour", "exists"), attention=0.0, seed=3)
    pictures = captioned(world, seed=3)
    return world, asked, pictures, pretrain(pictures, asked, world, epochs=(1, 1), seed=3, **BUILD)


def batch_of(small, rows=slice(0, 16)):
    world, asked, pictures, trained = small
    data = columns(pictures, asked, trained.vocabulary, trained.answers, world.images)
    return {name: values[rows] for name, values in data.items()}


def test_columns_have_one_row_a_picture_and_say_what_is_true(small):
    world, asked, pictures, trained = small
    data = columns(pictures, asked, trained.vocabulary, trained.answers, world.images)
    count = len(data["images"])
    assert count == len([p for p in pictures if p.row in set(asked.image_index.tolist())])
    assert data["captions"].shape == (count, 3, LENGTH) and data["foils"].shape == (count, 3, 2, LENGTH)
    assert data["questions"].shape == (count, 3, LENGTH) and data["answers"].shape == (count, 3)
    assert not (data["asserted"].bool() & ~data["shown"].bool()[:, None]).any()  # captions are true of their pictures
    assert (data["captions"][:, :, 0] == trained.vocabulary.numbers["[cls]"]).all()
    assert not (data["captions"] == 1).any() and not (data["foils"] == 1).any()  # no unknown words
    assert (data["foils"] != data["captions"][:, :, None]).any(-1).all()
    said = data["captions"].flatten(1)
    assert (data["named"].gather(1, said) == 1).all()


def test_question_words_are_those_of_the_vocabulary(small):
    *_, trained = small
    words = question_words("What color is the dog?")
    assert words == ("what", "color", "is", "the", "dog")
    assert question_words("What color are the person's clothes?")[-2:] == ("person", "clothes")
    assert trained.tokens([words]).shape == (1, LENGTH)


def test_unknown_words_are_named(small):
    *_, trained = small
    with pytest.raises(ValueError, match="zebra"):
        trained.tokens([("a", "zebra")])
    with pytest.raises(ValueError, match="tokens"):
        trained.tokens([("a", "dog") * 7])


def test_every_part_of_the_loss_reaches_the_weights(small):
    *_, trained = small
    batch, heads = batch_of(small), trained.heads
    generator = torch.Generator().manual_seed(0)
    loss, parts = pretraining_loss(heads, batch, trained.vocabulary.numbers[MASK], generator)
    assert float(loss.detach()) == pytest.approx(sum(v for k, v in parts.items() if k != "foils_told"), rel=1e-5)
    heads.zero_grad()
    loss.backward()
    without = {name for name, p in heads.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert without == {"bias"}  # only the first stage names patches


def test_the_loss_falls_on_one_batch(small):
    *_, trained = small
    batch, number = batch_of(small), trained.vocabulary.numbers[MASK]

    def loss(heads, data, step):
        return pretraining_loss(heads, data, number, torch.Generator().manual_seed(step % 2))

    history = fit(trained.heads, batch, epochs=20, lr=2e-3, batch_size=16, seed=0, loss=loss, weight_decay=0.0)
    assert history.loss[-1] < 0.8 * history.loss[0]


def test_the_same_seed_gives_the_same_model_and_another_another(small):
    world, asked, pictures, _ = small
    few = pictures[:32]
    a, b, c = (pretrain(few, asked, world, epochs=(1, 1), seed=seed, **BUILD) for seed in (5, 5, 6))
    same = [torch.equal(p, q) for p, q in zip(a.heads.state_dict().values(), b.heads.state_dict().values())]
    other = [torch.equal(p, q) for p, q in zip(a.heads.state_dict().values(), c.heads.state_dict().values())]
    assert all(same) and not all(other)


def test_some_patches_are_different_ones_of_each_picture(small):
    model = small[-1].model
    kept = some_patches(model, 3, 0.5, torch.Generator().manual_seed(0))
    assert kept.shape == (3, 8) and 0 <= int(kept.min()) and int(kept.max()) < 16
    assert all(len(set(row.tolist())) == 8 for row in kept) and not torch.equal(kept[0].sort()[0], kept[1].sort()[0])
    assert some_patches(model, 3, 1.0, torch.Generator()) is None
    for share in (0.0, 1.2):
        with pytest.raises(ValueError, match="16 patches"):
            some_patches(model, 3, share, torch.Generator())


def test_encoding_all_patches_by_number_is_encoding_the_picture(small):
    model, images = small[-1].model, batch_of(small)["images"][:2]
    everything = torch.arange(16).expand(2, -1)
    with torch.no_grad():
        whole, by_number = model.encode_images(images), model.encode_images(images, everything)
        turned = model.encode_images(images, everything.flip(1))
    torch.testing.assert_close(by_number, whole)
    torch.testing.assert_close(turned[:, 1:].flip(1), whole[:, 1:], atol=1e-5, rtol=1e-4)
