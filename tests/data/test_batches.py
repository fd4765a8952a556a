"""Batches: equal from memory and disk, in an order that seed, phase and epoch decide, augmented record by record."""

import multiprocessing
import multiprocessing.context
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unlearn_cli.data.augment import Augmentation, HorizontalFlip, RandomCrop, augment, draw
from unlearn_cli.data.batches import Batches, Epochs, Scaling
from unlearn_cli.data.dataset import Split
from unlearn_cli.data.records import ArrayInputs, from_arrays, make_array_inputs
from unlearn_cli.data.stores import MemoryStore, StreamedStore, open_store

N, SHAPE = 23, (3, 6, 5)
IMAGES = np.random.default_rng(0).integers(0, 256, (N, *SHAPE), dtype=np.uint8)
LABELS = np.arange(N) % 4
ROWS = np.array([i for i in range(N) if i % 5])  # of one split: not all rows of its source
CPU = torch.device("cpu")
BOTH: tuple[Augmentation, ...] = (HorizontalFlip(), RandomCrop(2))


def batches(*, memory_budget: int = 2**20, rows: np.ndarray = ROWS, **changes: Any) -> Batches:
    inputs = make_array_inputs("train", IMAGES, list(SHAPE))
    split = Split("retain", from_arrays("train", inputs, LABELS), rows, LABELS[rows])
    store = open_store(inputs, SHAPE, CPU, memory_budget)
    scaling = Scaling(255.0, torch.tensor(0.4), torch.tensor(0.2))
    made = Batches(split, store, scaling, torch.from_numpy(split.labels), SHAPE, 4, batch_size=8, seed=1)
    return replace(made, **changes)


def equal(first: Iterable[tuple[Tensor, Tensor]], second: Iterable[tuple[Tensor, Tensor]]) -> bool:
    pairs = list(zip(first, second, strict=True))
    return bool(pairs) and all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in pairs)


def epoch(given: Batches, phase: str = "train", number: int = 0) -> list[tuple[Tensor, Tensor]]:
    return list(given.read(given.order(phase, number), phase, number))


def by_row(given: Batches, phase: str = "train", number: int = 0) -> dict[int, Tensor]:
    """Return the sample that each row of the source became in an epoch."""
    order = np.concatenate(given.order(phase, number))
    samples = torch.cat([x for x, _ in epoch(given, phase, number)])
    return {int(given.split.rows[place]): sample for place, sample in zip(order, samples, strict=True)}


def test_what_fits_the_budget_lies_in_memory_and_the_rest_is_streamed() -> None:
    assert isinstance(batches(memory_budget=IMAGES.nbytes).store, MemoryStore)
    assert isinstance(batches(memory_budget=IMAGES.nbytes - 1).store, StreamedStore)


@pytest.mark.parametrize(
    "stored, shared",
    [
        (IMAGES, True), (IMAGES.astype(np.float32), True), (IMAGES.astype(np.int64), False),
        (np.ascontiguousarray(IMAGES.transpose(0, 2, 3, 1)), False), (IMAGES[:, :1], False),
        (IMAGES[:, 0].copy(), True), (IMAGES[:, 0].astype(float), False),
    ],
)  # fmt: skip
def test_samples_that_lie_in_memory_as_they_are_needed_are_not_copied(stored: np.ndarray, shared: bool) -> None:
    shape = SHAPE if stored.ndim == 4 and stored.shape[1] != 1 else (1, *SHAPE[1:])
    inputs = make_array_inputs("train", stored, list(shape))
    store = open_store(inputs, shape, CPU, 2**20)
    assert isinstance(store, MemoryStore)
    assert np.array_equal(store.samples.numpy(), inputs.take(np.arange(N)))
    assert np.shares_memory(store.samples.numpy(), stored) == shared


@pytest.mark.parametrize("augmentations", [(), BOTH])
def test_memory_and_stream_give_equal_batches(augmentations: tuple[Augmentation, ...]) -> None:
    first = batches(augmentations=augmentations)
    second = batches(augmentations=augmentations, memory_budget=1)
    assert equal(first.epochs(2).from_step("train", 0), second.epochs(2).from_step("train", 0))
    assert equal(first.sequential(7), second.sequential(7))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere forking is not safe, and workers are sent copies")
def test_workers_share_what_the_run_holds_whatever_python_starts_them_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sent to them, the paths and labels of millions of records would be there once a worker, every epoch."""
    monkeypatch.setattr(ArrayInputs, "__reduce__", lambda self: pytest.fail("the samples were sent to a worker"))
    monkeypatch.setattr(multiprocessing.context._default_context, "_actual_context", get_context("spawn"))
    assert equal(epoch(batches(memory_budget=1)), epoch(batches()))


def test_streaming_draws_nothing_from_the_random_numbers_of_the_run() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    epoch(batches(memory_budget=1, augmentations=BOTH))
    assert torch.equal(torch.get_rng_state(), before)


def test_values_are_scaled_and_normalised_channel_by_channel() -> None:
    mean, std = (torch.tensor(numbers).reshape(3, 1, 1) for numbers in ([0.1, 0.2, 0.3], [1.0, 2.0, 4.0]))
    ((x, y),) = batches(scaling=Scaling(10.0, mean, std)).sequential(100)
    assert x.dtype == torch.float32
    for channel, (m, s) in enumerate([(0.1, 1.0), (0.2, 2.0), (0.3, 4.0)]):
        expected = torch.from_numpy((IMAGES[ROWS, channel] / 10.0 - m) / s).float()
        torch.testing.assert_close(x[:, channel], expected)
    assert y.tolist() == LABELS[ROWS].tolist()


def test_every_record_comes_once_an_epoch_with_its_label() -> None:
    given = batches()
    for number in range(3):
        order = np.concatenate(given.order("train", number))
        assert sorted(order.tolist()) == list(range(len(ROWS)))
        plain = torch.cat([x for x, _ in given.sequential(8)])
        read = epoch(given, "train", number)
        assert torch.equal(torch.cat([x for x, _ in read]), plain[torch.from_numpy(order)])
        assert torch.cat([y for _, y in read]).tolist() == LABELS[ROWS][order].tolist()


@pytest.mark.parametrize("batch_size", [2, 3, 4, 5, 7, 8, 17, 18, 19, 100])
def test_batches_are_no_larger_than_asked_and_differ_by_one_record_at_most(batch_size: int) -> None:
    given = batches(batch_size=batch_size)
    sizes = [len(chunk) for chunk in given.order("train", 0)]
    assert len(sizes) == len(given)
    assert sum(sizes) == given.num_samples == len(ROWS)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize("num_samples", [2, 3, 4, 5, 7, 9, 17])
def test_no_batch_has_a_single_record_which_batch_norm_would_refuse(batch_size: int, num_samples: int) -> None:
    given = batches(batch_size=batch_size, rows=ROWS[:num_samples])
    sizes = [len(chunk) for chunk in given.order("train", 0)]
    assert len(sizes) == len(given) == given.split.count_batches(batch_size)
    assert sum(sizes) == num_samples
    assert min(sizes) >= 2
    assert max(sizes) <= max(batch_size, 2) + 1


def test_a_single_record_is_a_batch() -> None:
    assert [len(chunk) for chunk in batches(rows=ROWS[:1]).order("train", 0)] == [1]


def test_the_order_is_a_function_of_seed_phase_and_epoch() -> None:
    def order(seed: int, phase: str, number: int) -> list[int]:
        return np.concatenate(batches(seed=seed).order(phase, number)).tolist()

    keys = [(1, "train", 0), (2, "train", 0), (1, "repair", 0), (1, "train", 1)]
    orders = [order(*key) for key in keys]
    assert len({tuple(found) for found in orders}) == len(keys)
    assert [order(*key) for key in keys] == orders


def test_the_order_does_not_depend_on_what_was_drawn_before() -> None:
    given = batches()
    first = given.order("train", 3)
    torch.manual_seed(5)
    list(given.epochs(2))
    assert [chunk.tolist() for chunk in given.order("train", 3)] == [chunk.tolist() for chunk in first]


@pytest.mark.parametrize("augmentations", [(), BOTH])
@pytest.mark.parametrize("make", [lambda given: given.epochs(3), lambda given: given.steps(8)])
def test_going_on_from_a_step_equals_skipping_those_before(make: Any, augmentations: tuple[Augmentation, ...]) -> None:
    steps: Epochs = make(batches(augmentations=augmentations))
    whole = list(steps.from_step("train", 0))
    assert len(whole) == len(steps)
    for first in range(len(steps)):
        assert equal(steps.from_step("train", first), whole[first:])
    assert list(steps.from_step("train", len(steps))) == []


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_a_number_of_steps_is_as_many_batches(count: int) -> None:
    steps = batches().steps(count)
    found = list(steps.from_step("train", 0))
    assert len(found) == len(steps) == count
    assert equal(found, list(batches().epochs(3).from_step("train", 0))[:count])


@pytest.mark.parametrize("batch_size", [1, 4, 5, 18, 50])
def test_sequential_keeps_the_order_of_the_split_and_never_augments(batch_size: int) -> None:
    parts = list(batches(augmentations=BOTH).sequential(batch_size))
    assert max(len(y) for _, y in parts) <= batch_size
    expected = (torch.from_numpy(IMAGES[ROWS]).float() / 255 - 0.4) / 0.2
    assert torch.equal(torch.cat([x for x, _ in parts]), expected)
    assert torch.cat([y for _, y in parts]).tolist() == LABELS[ROWS].tolist()


def test_an_empty_split_has_no_batches() -> None:
    empty = batches(rows=np.array([], dtype=np.int64))
    assert list(empty.sequential(4)) == []
    assert len(empty) == 0


def test_what_a_record_becomes_does_not_depend_on_batch_size_or_split() -> None:
    small = by_row(batches(augmentations=BOTH, batch_size=3))
    large = by_row(batches(augmentations=BOTH, batch_size=50))
    other = by_row(batches(augmentations=BOTH, rows=np.arange(N)))
    assert small.keys() == large.keys() < other.keys()
    assert all(torch.equal(small[row], large[row]) and torch.equal(small[row], other[row]) for row in small)


def test_the_random_numbers_of_an_epoch_are_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []

    def counted(num_rows: int, key: tuple[int, str, int]) -> Tensor:
        drawn.append((num_rows, key))
        return draw(num_rows, key)

    monkeypatch.setattr("unlearn_cli.data.batches.draw", counted)
    list(batches(augmentations=BOTH).epochs(2).from_step("train", 0))
    assert drawn == [(N, (1, "train", 0)), (N, (1, "train", 1))]


@pytest.mark.parametrize("change", [{"seed": 2}, {"phase": "repair"}, {"number": 1}])
def test_what_a_record_becomes_changes_with_seed_phase_and_epoch(change: dict[str, Any]) -> None:
    first = by_row(batches(augmentations=BOTH))
    seed = change.pop("seed", 1)
    second = by_row(batches(augmentations=BOTH, seed=seed), **change)
    assert sum(not torch.equal(first[row], second[row]) for row in first) > len(first) / 2


def test_a_flip_mirrors_about_half_of_the_images() -> None:
    images = torch.arange(400 * 2 * 3 * 4, dtype=torch.int64).reshape(400, 2, 3, 4)
    flipped = augment(images, draw(400, (0, "train", 0)), (HorizontalFlip(),))
    pairs = list(zip(images.numpy(), flipped.numpy(), strict=True))
    mirrored = [np.array_equal(after, before[:, :, ::-1]) for before, after in pairs]
    untouched = [np.array_equal(after, before) for before, after in pairs]
    assert all(a != b for a, b in zip(mirrored, untouched, strict=True))
    assert 160 < sum(mirrored) < 240


def test_a_crop_is_a_window_of_the_padded_image_and_every_window_comes() -> None:
    images = torch.from_numpy(np.random.default_rng(3).integers(1, 256, (1000, 2, 3, 4), dtype=np.uint8))
    cropped = augment(images, draw(1000, (0, "train", 0)), (RandomCrop(1),))
    places: Counter[tuple[int, int]] = Counter()
    for before, after in zip(images.numpy(), cropped.numpy(), strict=True):
        padded = np.pad(before, ((0, 0), (1, 1), (1, 1)))
        found = [(i, j) for i in range(3) for j in range(3) if np.array_equal(padded[:, i : i + 3, j : j + 4], after)]
        assert len(found) == 1
        places[found[0]] += 1
    assert len(places) == 9
    assert min(places.values()) > 70  # 111 are expected of each


def test_padding_is_black_as_stored_and_not_after_normalisation() -> None:
    bright = replace(batches(augmentations=(RandomCrop(2),)), store=MemoryStore(torch.full((N, *SHAPE), 255)))
    values = torch.cat([x for x, _ in epoch(bright)]).unique()
    torch.testing.assert_close(values, torch.tensor([-2.0, 3.0]))  # (0 - 0.4) / 0.2 and (1 - 0.4) / 0.2


@pytest.mark.parametrize("count", [1, 3, 100])
def test_a_subset_has_at_most_so_many_records_of_each_class(count: int) -> None:
    given = batches()
    subset = given.per_class(count)
    available = Counter(given.split.labels.tolist())
    assert Counter(subset.split.labels.tolist()) == {label: min(count, n) for label, n in available.items()}
    assert subset.targets.tolist() == LABELS[subset.split.rows].tolist()
    assert set(subset.split.rows) <= set(ROWS)
    assert given.per_class(count).split.rows.tolist() == subset.split.rows.tolist()


def test_a_subset_is_drawn_with_the_seed() -> None:
    drawn = {tuple(batches(seed=seed).per_class(2).split.rows.tolist()) for seed in range(5)}
    assert len(drawn) > 1


def test_some_records_are_taken_by_their_place_in_the_split() -> None:
    taken = batches().take(np.array([0, 4, 9]))
    assert taken.split.rows.tolist() == ROWS[[0, 4, 9]].tolist()
    ((_, y),) = taken.sequential(10)
    assert y.tolist() == LABELS[ROWS[[0, 4, 9]]].tolist()


def test_images_come_in_the_memory_format_of_the_run() -> None:
    ((x, _),) = batches(memory_format=torch.channels_last).sequential(100)
    assert x.is_contiguous(memory_format=torch.channels_last)
