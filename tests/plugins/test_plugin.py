"""A plug-in is a function: what its signature says is what the tool offers, asks for and checks."""

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.testing import CliRunner

from unlearn_cli.cli.app import app
from unlearn_cli.errors import UserError
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.plugin import COMMON_SETTINGS
from unlearn_cli.plugins.requirements import OPTIONAL_INPUTS, list_inputs
from unlearn_cli.plugins.suitability import list_lacking

PLUGINS = [(kind, name) for kind in ("methods", "attacks") for name in discovery.entries(kind)]
EVERYTHING = {"data", "forget", "test", "original", "reference", "cost", "shadows"}

every_plugin = pytest.mark.parametrize(("kind", "name"), PLUGINS)


@every_plugin
def test_a_plugin_is_a_file_with_a_function_of_its_name_and_a_summary(kind: str, name: str) -> None:
    function = plugin.load(kind, name).function()
    assert (function.__name__, function.__module__) == (name, f"unlearn_cli.{kind}.{name}")
    assert len(discovery.entries(kind)[name].constants["SUMMARY"]) > 10


@pytest.mark.parametrize("kind", ["methods", "metrics", "attacks", "models"])
def test_every_summary_fits_on_a_line_beside_its_name(kind: str) -> None:
    for name, summary in discovery.summaries(kind).items():
        assert len(summary) <= 60, name
        assert summary.isprintable(), name


COMPLETED = [("unlearn", "--method", "methods"), ("evaluate", "--metric", "metrics"), ("attack", "--attack", "attacks")]


@pytest.mark.parametrize(("command", "option", "kind"), COMPLETED)
def test_completion_offers_every_name_with_its_summary_on_one_line(command: str, option: str, kind: str) -> None:
    typed = {
        "_TYPER_COMPLETE_ARGS": f"unlearn-cli {command} model {option} ",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = CliRunner().invoke(app, env={**typed, "_UNLEARN_CLI_COMPLETE": "complete_fish"}, prog_name="unlearn-cli")
    assert done.stdout.splitlines() == [f"{name}\t{summary}" for name, summary in discovery.summaries(kind).items()]


@pytest.mark.parametrize("kind", ["methods", "metrics", "attacks"])
def test_every_file_is_a_plugin(kind: str) -> None:
    package = import_module(f"unlearn_cli.{kind}")
    files = {path.stem for folder in package.__path__ for path in Path(folder).glob("*.py")} - {"__init__"}
    assert files == set(discovery.entries(kind))


@pytest.mark.parametrize("kind", discovery.KINDS)
def test_the_constants_read_from_the_source_are_those_that_python_sees(kind: str) -> None:
    for name, entry in discovery.entries(kind).items():
        module = import_module(f"unlearn_cli.{kind}.{name}")
        names = ("SUMMARY", "TASK", "DEFAULT", "DISTANCE", "TIER", "ORDER", "VARIANTS")
        constants = {key: value for key, value in vars(module).items() if key in names}
        assert {key: value for key, value in entry.constants.items() if key in names} == constants
        assert "SUMMARY" in constants


def test_listing_the_plugins_imports_neither_torch_nor_pydantic() -> None:
    program = (
        "import sys\n"
        "from unlearn_cli.plugins import discovery\n"
        "assert all(discovery.summaries(kind) for kind in discovery.KINDS)\n"
        "assert not {'torch', 'pydantic'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_metrics_and_attacks_that_run_by_default() -> None:
    assert {"accuracy", "js_divergence", "weight_distance"} <= set(discovery.list_default_metrics("classification"))
    assert {"zrf", "relearn_time"} <= set(discovery.list_metrics_of("classification"))
    assert not {"zrf", "relearn_time"} & set(discovery.list_default_metrics("classification"))
    assert not {"accuracy", "zrf"} & set(discovery.list_metrics_of("regression"))
    quick = discovery.list_attacks_of("quick")
    assert quick[:3] == ["sanity", "population", "population:statistic=correctness"]
    assert discovery.list_attacks_of("standard")[: len(quick)] == quick
    assert "build" not in discovery.entries("models")


@every_plugin
def test_what_is_read_from_the_source_is_what_python_sees(kind: str, name: str) -> None:
    read = plugin.load(kind, name)
    parameters = inspect.signature(read.function()).parameters.values()
    assert list(read.needs) == [item.name for item in parameters if item.default is item.empty]
    assert list(read.optional) == [
        item.name for item in parameters if item.kind is item.KEYWORD_ONLY and item.name in OPTIONAL_INPUTS
    ]
    defaults = {item.name: item.default for item in parameters if item.kind is item.KEYWORD_ONLY}
    own = {key: value for key, value in defaults.items() if key not in read.optional}
    assert read.settings().model_dump(exclude=set(COMMON_SETTINGS)) == own
    assert read.level_step == ("level_step" in read.settings.model_fields)


@every_plugin
def test_a_plugin_asks_for_known_inputs_only(kind: str, name: str) -> None:
    read = plugin.load(kind, name)
    assert set(read.needs) <= set(list_inputs(kind) or ())
    assert list_lacking(read, EVERYTHING) == []
    assert read.tasks and set(read.tasks) <= {"classification", "regression", "multilabel"}


@every_plugin
def test_a_setting_that_is_no_number_or_unknown_is_refused(kind: str, name: str) -> None:
    read = plugin.load(kind, name)
    with pytest.raises(UserError, match=f"{name} has no setting 'nonsense'"):
        plugin.complete_settings(read, assignments=["nonsense=1"])
    for setting, field in read.settings.model_fields.items():
        if isinstance(field.default, float | int):
            for value in ("many", "-1", ".nan", ".inf", "[1]"):
                with pytest.raises(UserError, match=f"{name}: {setting}="):
                    plugin.complete_settings(read, assignments=[f"{setting}={value}"])


@every_plugin
def test_the_documentation_names_a_source_and_a_warning(kind: str, name: str) -> None:
    source = Path(plugin.__file__).parents[1] / kind / f"{name}.py"
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    assert "Source: " in text
    assert "Warning: " in text
    assert "Needs" in text


def test_no_signature_needs_torch() -> None:
    program = (
        "import sys\n"
        "from unlearn_cli.plugins import plugin\n"
        f"for kind, name in {PLUGINS}:\n"
        "    plugin.complete_settings(plugin.load(kind, name))\n"
        "recipe = plugin.inspect('training', 'fit', 'unlearn_cli.learning.training')\n"
        "plugin.complete_settings(recipe, assignments=['lr=0.1'])\n"
        "plugin.complete_settings(plugin.inspect('noise', 'learn_noise', 'unlearn_cli.learning.noise'))\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_retraining_has_the_settings_and_defaults_of_training() -> None:
    train = plugin.inspect("training", "fit", "unlearn_cli.learning.training").settings
    retrain = plugin.load("methods", "retrain").settings
    assert list(retrain.model_fields) == list(train.model_fields)
    assert [field.annotation for field in retrain.model_fields.values()] == [
        field.annotation for field in train.model_fields.values()
    ]
    assert retrain().model_dump() == train().model_dump()


def test_settings_are_defaults_then_the_file_then_the_command_line(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("lr: 1e-2\nepochs: 3\n", encoding="utf-8")
    finetune = plugin.load("methods", "finetune")
    completed = plugin.complete_settings(finetune, config, ["lr=3e-2", "lr = 5e-2"]).model_dump()
    expected = {"epochs": 3, "steps": None, "optimizer": "adam", "lr": 5e-2, "rewind": "last", "batch_norm": "batch"}
    assert completed == expected


def test_a_mistake_in_the_file_of_settings_is_refused_like_one_on_the_command_line(tmp_path: Path) -> None:
    config = tmp_path / "settings.yaml"
    config.write_text("learning_rate: 1\nlr: -1\n", encoding="utf-8")
    with pytest.raises(UserError) as caught:
        plugin.complete_settings(plugin.load("methods", "finetune"), config)
    assert "finetune has no setting 'learning_rate'" in str(caught.value)
    assert "finetune: lr=-1: expected greater than 0" in str(caught.value)


def test_the_name_of_a_layer_may_look_like_a_number(tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("layers: [01, true]\nstudent_epochs: 02\n")
    method = plugin.load("methods", "blindspot")
    completed = plugin.complete_settings(method, tmp_path / "settings.yaml").model_dump()
    assert (completed["layers"], completed["student_epochs"]) == (["01", "true"], 2)
    assert plugin.complete_settings(method, None, ["layers=[0]", "student_epochs=0x3"]).model_dump()["layers"] == ["0"]


def test_an_assignment_without_a_value_is_told_the_settings() -> None:
    settings = "epochs=5, steps=None, optimizer=adam, lr=None, rewind=last, batch_norm=batch"
    with pytest.raises(UserError, match=f"--set lr: expected name=value; settings: {settings}"):
        plugin.complete_settings(plugin.load("methods", "finetune"), assignments=["lr"])


def test_the_nearest_name_is_told() -> None:
    with pytest.raises(UserError, match=r"unknown method 'unsri'; did you mean 'unsir'\?"):
        plugin.load("methods", "unsri")
    with pytest.raises(UserError, match=r"did you mean 'epochs'\?"):
        plugin.complete_settings(plugin.load("methods", "finetune"), assignments=["epoch=1"])


def test_a_plugin_gets_what_it_asks_for_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = {"forget_outputs": "f", "holdout_outputs": "h", "model": "never"}
    seen: dict[str, object] = {}
    monkeypatch.setattr("unlearn_cli.attacks.population.population", lambda **given: seen.update(given))
    read = plugin.load("attacks", "population")
    read.call(offered, plugin.complete_settings(read))
    assert seen == {"forget_outputs": "f", "holdout_outputs": "h", "statistic": "margin"}
