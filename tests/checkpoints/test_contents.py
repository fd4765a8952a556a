"""What a file contains: sets of weights with their keys, averaged ones, and names of architectures."""

import argparse
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from unlearn_cli.checkpoints.contents import WeightSet, list_hints, read_content
from unlearn_cli.checkpoints.torch_file import read_torch_file

WEIGHTS = {"fc.weight": torch.ones(2, 2)}


def read(content: Any, folder: Path) -> Any:
    torch.save(content, folder / "model.pth")
    return read_content(folder / "model.pth", "torch.save", read_torch_file(folder / "model.pth"))


@pytest.mark.parametrize(
    ("key", "averaged"),
    [
        ("state_dict_ema", True),
        ("ema1", True),
        ("nets.G-ema", True),
        ("swa_state_dict", True),
        ("schema", False),
        ("model", False),
    ],
)
def test_averaged_weights_are_recognised_by_words_of_their_key(key: str, averaged: bool) -> None:
    assert WeightSet(key, WEIGHTS).is_averaged is averaged


def test_names_of_architectures_are_read_from_the_file_and_from_arguments(tmp_path: Path) -> None:
    content = {"arch": "resnet18", "model": WEIGHTS, "args": argparse.Namespace(model="vit_tiny", lr=0.1, net=None)}
    assert list_hints(read(content, tmp_path)) == ["resnet18", "vit_tiny"]


def test_a_set_with_several_keys_is_listed_under_each_of_them(tmp_path: Path) -> None:
    contents = read({"model": WEIGHTS, "best": WEIGHTS, "all": [WEIGHTS]}, tmp_path)
    assert [weights.key for weights in contents.sets] == ["model", "best", "all.0"]


def test_optimizer_states_and_random_states_are_no_weights(tmp_path: Path) -> None:
    state = {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}
    content = OrderedDict(net=WEIGHTS, optimizer=state, rng={"cpu": torch.get_rng_state()}, best=torch.tensor(0.5))
    contents = read(content, tmp_path)
    assert [weights.key for weights in contents.sets] == ["net"]
    assert contents.others == {
        "optimizer": "optimizer state", "rng": "mapping of 1 entry", "best": "float32 []"
    }  # fmt: skip
