"""Mixed batches of two splits, and samples without their labels."""

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.data.test_batches import BOTH, IMAGES, batches
from unlearn_cli.data.augment import RandomCrop
from unlearn_cli.data.batches import Batches, without_labels
from unlearn_cli.data.mixed import MixedBatches, mix

FORGET, RETAIN = np.array([0, 5, 6, 7, 10]), np.array([i for i in range(23) if i not in (0, 5, 6, 7, 10)])


def parts(**changes: Any) -> tuple[Batches, Batches]:
    forget, retain = batches(rows=FORGET, **changes), batches(rows=RETAIN, **changes)
    return replace(forget, split=replace(forget.split, name="forget")), retain


def epoch(mixed: MixedBatches, number: int = 0) -> list[tuple[Tensor, Tensor, Tensor]]:
    return list(mixed.read(mixed.order("train", number), "train", number))


def row_of(sample: Tensor) -> int:
    """Find which record a sample is by its pixels."""
    stored = (sample * 0.2 + 0.4) * 255
    differences = np.abs(IMAGES - stored.numpy()).reshape(len(IMAGES), -1).max(axis=1)
    assert differences.min() < 0.5
    return int(differences.argmin())


def test_an_epoch_has_every_record_of_both_once_with_its_flag_and_its_label() -> None:
    seen = [
        (row_of(sample), int(label), bool(flag))
        for x, y, is_forget in epoch(mix(*parts()))
        for sample, label, flag in zip(x, y, is_forget, strict=True)
    ]
    expected = [(int(row), int(row % 4), True) for row in FORGET] + [(int(row), int(row % 4), False) for row in RETAIN]
    assert Counter(seen) == Counter(expected)


def test_batches_have_equal_sizes_and_a_new_order_every_epoch() -> None:
    mixed = mix(*parts())
    assert [len(x) for x, *_ in epoch(mixed)] == [8, 8, 7]
    assert len(mixed.epochs(3)) == 9
    assert len(mixed.steps(4)) == 4
    assert not torch.equal(epoch(mixed)[0][0], epoch(mixed, 1)[0][0])


@pytest.mark.parametrize("augmentations", [(), BOTH])
def test_the_batches_are_the_same_from_disk_and_can_begin_at_any_step(augmentations: object) -> None:
    steps = mix(*parts(augmentations=augmentations)).epochs(3)
    streamed = mix(*parts(augmentations=augmentations, memory_budget=1)).epochs(3)
    whole = list(steps.from_step("train", 0))
    for later in (list(steps.from_step("train", 4)), list(streamed.from_step("train", 4))):
        pairs = list(zip(whole[4:], later, strict=True))
        assert len(pairs) == 5
        assert all(torch.equal(a, b) for first, second in pairs for a, b in zip(first, second, strict=True))


def test_one_part_may_be_missing_from_a_batch() -> None:
    forget, retain = parts()
    mixed = mix(forget.take(np.array([0])), retain)
    assert sorted(int(is_forget.sum()) for *_, is_forget in epoch(mixed)) == [0, 0, 1]


def test_who_asks_for_inputs_alone_cannot_see_a_label() -> None:
    """Class numbers become -100, which no loss takes for a class; numbers become NaN, which poisons every loss."""
    forget, retain = parts()
    hidden = without_labels(forget)
    assert [x.shape[1:] for x in hidden.epochs(1)] == [IMAGES.shape[1:]]
    assert all(torch.equal(x, y) for x, (y, _) in zip(hidden.epochs(2), forget.epochs(2), strict=True))
    assert (hidden.batches.targets == -100).all()
    assert not hidden.batches.split.labels.any()
    assert not np.asarray(hidden.batches.split.records.labels).any()
    with pytest.raises(AssertionError, match="tried to read a label"):
        hidden.batches.split.records.column("label")
    for _, y, is_forget in epoch(mix(hidden, retain)):
        assert (y[is_forget] == -100).all()
        assert (y[~is_forget] >= 0).all()
    numbers = without_labels(replace(forget, targets=forget.targets.float()))
    assert numbers.batches.targets.isnan().all()


def test_a_share_is_drawn_at_random_and_is_the_same_each_time() -> None:
    _, retain = parts()
    share = retain.share(0.5)
    assert share.num_samples == 9
    assert np.array_equal(share.split.rows, without_labels(retain).share(0.5).batches.split.rows)
    assert not np.array_equal(share.split.rows, RETAIN[:9])
    assert not np.array_equal(share.split.rows, replace(retain, seed=2).share(0.5).split.rows)
    assert retain.share(1e-9).num_samples == 1


def test_relabelled_records_have_new_targets_in_place_of_theirs() -> None:
    forget, _ = parts()
    relabelled = forget.relabelled(torch.arange(5) + 10)
    found = {row_of(sample): int(y) for x, labels in relabelled.epochs(1) for sample, y in zip(x, labels, strict=True)}
    assert found == {int(row): place + 10 for place, row in enumerate(FORGET)}
    with pytest.raises(AssertionError):
        forget.relabelled(torch.zeros(4))


def test_the_copies_of_a_forgotten_record_in_one_epoch_are_augmented_differently() -> None:
    forget, retain = parts(augmentations=(RandomCrop(2),))
    mixed = mix(forget, retain, forget_share=0.8)
    assert mixed.repeats == 14
    crops: dict[int, list[Tensor]] = defaultdict(list)
    for x, y, is_forget in epoch(mixed):
        for sample, label in zip(x[is_forget], y[is_forget], strict=True):
            crops[int(label)].append(sample)
    assert {label: len(samples) for label, samples in crops.items()} == {0: 14, 1: 14, 2: 28, 3: 14}
    for samples in crops.values():
        different = {sample.numpy().tobytes() for sample in samples}
        assert len(different) > len(samples) / 2


def test_the_first_copy_is_augmented_as_a_record_that_comes_once() -> None:
    forget, _ = parts(augmentations=BOTH)
    once = torch.cat([x for x, _ in forget.read([np.arange(5)], "train", 0)])
    first, second = (x for x, _ in forget.read([np.arange(5), np.arange(5, 10)], "train", 0, repeats=2))
    assert torch.equal(first, once)
    assert not torch.equal(second, once)


def test_copies_are_the_same_from_disk_and_from_any_step_on() -> None:
    steps, streamed = (mix(*parts(augmentations=BOTH, **kind), 0.5).epochs(2) for kind in ({}, {"memory_budget": 1}))
    whole = list(steps.from_step("train", 0))
    later = list(streamed.from_step("train", 3))
    assert len(whole) == len(later) + 3
    for first, second in zip(whole[3:], later, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
