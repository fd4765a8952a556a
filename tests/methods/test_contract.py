"""What holds for every method in the table, run as the command line runs it on bundled real data."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch import Tensor

from tests.methods.cases import (
    CASES,
    FAST,
    METHODS,
    SHORT,
    choose_settings,
    command,
    make_originals,
    read_case,
)
from tests.shared import make_once
from tests.tiny import invoke, same
from unlearn_cli.data.batches import Batches
from unlearn_cli.plugins import plugin, suitability
from unlearn_cli.runtime.progress import Steps

LEAST_RETAINED: dict[str, float] = {"gkt": 0.7}
FORGETS_SLOWLY = {"finetune", "fisher"}
OF_CLASSES = [
    name
    for name in METHODS
    if "classification" in (item := plugin.load("methods", name)).tasks and not item.part_of_classes
]


@pytest.fixture(scope="module")
def originals(original: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_originals(original, tmp_path_factory)


@pytest.fixture(scope="module")
def unlearned(originals: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Run a method, once for all tests, and return the folder that it wrote."""

    def run(method: str, folder: Path) -> None:
        result = invoke(*command(method, originals, folder, choose_settings(FAST, method)), "-o", folder / "out")
        assert result.exit_code == 0, result.stderr

    return lambda method: make_once(tmp_path_factory, method, partial(run, method)) / "out"


@pytest.fixture(scope="module")
def shortened(originals: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Run a method for a few steps, once for all tests, without measuring; the file `logged` counts its steps."""

    def run(method: str, folder: Path) -> None:
        with counted_steps() as steps:
            words = command(method, originals, folder, choose_settings(SHORT, method))
            assert invoke(*words, "--no-evaluate", "-o", folder / "out").exit_code == 0
        (folder / "logged").write_text(str(steps.logged))

    return lambda method: make_once(tmp_path_factory, f"{method}-short", partial(run, method))


@dataclass
class CountedSteps:
    """Steps that methods have logged; at one of them a signal is raised."""

    stop_at: int | None = None
    logged: int = 0


@contextmanager
def counted_steps(stop_at: int | None = None) -> Iterator[CountedSteps]:
    steps, log = CountedSteps(stop_at), Steps.log

    def log_and_count(self: Steps[Any], **values: Tensor | float) -> None:
        steps.logged += 1
        if steps.logged == steps.stop_at:
            signal.raise_signal(signal.SIGTERM)
        log(self, **values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Steps, "log", log_and_count)
        yield steps


@pytest.mark.parametrize("method", CASES)
def test_it_changes_the_weights_and_reports_inputs_rates_curves_and_cost(
    method: str, unlearned: Callable[[str], Path], originals: dict[str, Path]
) -> None:
    report = json.loads((unlearned(method) / "report.json").read_text())
    loaded, task = read_case(method)
    before, after = load_file(originals[task]), load_file(unlearned(method) / "model.safetensors")
    assert not same(before, after)
    assert {name: tensor.shape for name, tensor in before.items()} == {
        name: tensor.shape for name, tensor in after.items()
    }
    settings = loaded.settings.model_validate(report["settings"])  # whole classes are not rewound
    assert report["inputs"] == sorted(loaded.list_inputs(settings))
    assert report["curves"]
    assert report["cost"]["samples_forward"] > 0
    left_open = {name for name, value in report["settings"].items() if name.endswith("lr") and value is None}
    assert left_open <= set(report["found"])  # the rates that the method chose are known afterwards


@pytest.mark.parametrize("method", CASES)
def test_a_dry_run_says_how_much_it_would_work_on_and_writes_nothing(
    method: str, originals: dict[str, Path], tmp_path: Path
) -> None:
    result = invoke(*command(method, originals, tmp_path, []), "-o", tmp_path / "out", "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    planned = json.loads(result.stdout)
    sees_data = {"forget", "retain", "forget_inputs", "retain_inputs"} & set(planned["inputs"])
    assert any(value > 0 for name, value in planned.items() if name.startswith("samples_")) is bool(sees_data)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", OF_CLASSES)
def test_a_class_is_no_longer_recognised_and_the_others_still_are(
    method: str, unlearned: Callable[[str], Path]
) -> None:
    metrics = json.loads((unlearned(method) / "report.json").read_text())["metrics"]
    assert metrics["original"]["test_forget"]["accuracy"]["value"] > 0.85
    assert metrics["subject"]["test_retain"]["accuracy"]["value"] > LEAST_RETAINED.get(method, 0.85)
    for split in ("test_forget", "forget"):
        assert method in FORGETS_SLOWLY or metrics["subject"][split]["accuracy"]["value"] <= 0.05


@pytest.mark.parametrize("method", CASES)
def test_stopped_by_a_signal_it_goes_on_and_ends_in_the_same_bytes(
    method: str, shortened: Callable[[str], Path], originals: dict[str, Path], tmp_path: Path
) -> None:
    """Stopped twice, at about 0.3 and 0.9 of its steps. Thus it also changes the weights in the same way each time."""
    words = [*command(method, originals, tmp_path, choose_settings(SHORT, method)), "--no-evaluate"]
    words += ["-o", tmp_path / "out", "--overwrite"]
    total = int((shortened(method) / "logged").read_text())
    for share in (0.3, 0.6):
        with counted_steps(stop_at=max(1, int(share * total))):
            stopped = invoke(*words)
        assert stopped.exit_code == 75, stopped.stderr
    result = invoke(*words)
    assert result.exit_code == 0
    assert "continues after step" in result.stderr
    whole, resumed = (folder / "out" / "model.safetensors" for folder in (shortened(method), tmp_path))
    assert whole.read_bytes() == resumed.read_bytes()


@pytest.mark.parametrize(
    "method", [name for name in METHODS if not suitability.list_lacking(plugin.load("methods", name), {"forget"})]
)
def test_a_method_that_needs_no_data_touches_none_where_there_is_some(
    method: str, originals: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(*_: object) -> None:
        raise AssertionError("a record was read")

    for name in ("read", "sequential", "take", "share", "per_class"):
        monkeypatch.setattr(Batches, name, touched)
    words = command(method, originals, tmp_path, choose_settings(SHORT, method))
    result = invoke(*words, "-o", tmp_path / "out", "--no-evaluate", "--force")
    assert result.exit_code == 0, result.stderr
    with pytest.raises(AssertionError, match="a record was read"):
        invoke(*command("finetune", originals, tmp_path, []), "-o", tmp_path / "other", "--no-evaluate", "--force")
