"""Prefixes and renamed parts: from a checkpoint's names to the network's and back."""

import pytest

from unlearn_cli.checkpoints.stored_names import StoredNames
from unlearn_cli.checkpoints.tensor_names import NameMapping, find_common_prefix, replace_part
from unlearn_cli.errors import UserError


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("linear.weight", "linear", "fc", "fc.weight"),
        ("linear1.weight", "linear", "fc", "linear1.weight"),
        ("layer1.0.shortcut.0.weight", "shortcut", "downsample", "layer1.0.downsample.0.weight"),
        ("head.linear.bias", "head.linear.", "fc", "fc.bias"),
        ("net.fc.bias", "net", "", "fc.bias"),
        ("fc.bias", "", "net.inner", "net.inner.fc.bias"),
        ("0.0.weight", "0", "a", "a.a.weight"),
        ("weight", "weight", "kernel", "kernel"),
    ],
)
def test_a_part_is_whole_components_of_a_name(name: str, old: str, new: str, expected: str) -> None:
    assert replace_part(name, old, new) == expected


def test_names_outside_the_prefix_are_left_out_unless_no_name_has_it() -> None:
    mapping = NameMapping("model", {"linear": "fc"})
    assert mapping.apply(["model.linear.bias", "loss.weight"]) == {"model.linear.bias": "fc.bias"}
    assert mapping.apply(["fc.bias"]) == {"fc.bias": "fc.bias"}


@pytest.mark.parametrize("rename", [{"a": "b"}, {"a.weight": "", "b.weight": ""}])
def test_a_renaming_that_loses_a_tensor_is_refused(rename: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"a\.weight"):
        NameMapping(rename=rename).apply(["a.weight", "b.weight"])


@pytest.mark.parametrize(
    ("names", "prefix"),
    [(["m.a.x", "m.a.y"], "m.a."), (["m.a.x", "m.b"], "m."), (["m.a", "a"], ""), (["m.a"], ""), ([], "")],
)
def test_the_common_prefix_is_whole_components(names: list[str], prefix: str) -> None:
    assert find_common_prefix(names) == prefix


def test_a_tensor_that_the_file_lacks_is_named_as_its_neighbours() -> None:
    stored = ["model.old.bn.weight", "model.fc.weight", "loss.weight"]
    names = StoredNames.read(stored, NameMapping("model.", {"old": "new"}))
    assert names.to_stored("new.bn.weight") == "model.old.bn.weight"
    assert names.to_stored("new.bn.num_batches_tracked") == "model.old.bn.num_batches_tracked"
    assert names.to_stored("other.bias") == "model.other.bias"
