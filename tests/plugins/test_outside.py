"""Plug-ins from outside of the package: `file.py:function` and `package.module:function`, and mistakes in them."""

from hashlib import sha256
from pathlib import Path

import pytest

from unlearn_cli.errors import UserError
from unlearn_cli.plugins import plugin

METHOD = '''"""Fine-tune on retain. Source: ... Needs retain. Warning: ..."""

TASK = "classification"


def gentle(model, retain, task_loss, *, epochs: PositiveInt = 1, lr: Annotated[PositiveFloat, Doc("rate")] = 1e-3):
    return model
'''

COUNTING = """
with open("{path}", "a") as file:
    file.write("x")


def spread(outputs):
    return 1
"""


def write(folder: Path, text: str = METHOD, name: str = "mine.py") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def load(path: Path, function: str = "gentle", kind: str = "methods") -> plugin.Plugin:
    return plugin.load(kind, f"{path}:{function}", allow_code=True)


def test_a_file_of_the_user_is_a_plugin(tmp_path: Path) -> None:
    path = write(tmp_path)
    method = load(path)
    assert (method.name, method.needs, method.tasks) == (
        "gentle",
        ("model", "retain", "task_loss"),
        ("classification",),
    )
    assert plugin.complete_settings(method).model_dump() == {"epochs": 1, "lr": 1e-3}
    assert method.code is not None
    assert (method.code.label, method.code.sha256) == ("mine.py:gentle", sha256(path.read_bytes()).hexdigest())


def test_a_relative_path_starts_from_the_folder_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path)
    assert plugin.load("methods", "mine.py:gentle", allow_code=True, folder=tmp_path).name == "gentle"
    monkeypatch.chdir(tmp_path)
    assert plugin.load("methods", "mine.py:gentle", allow_code=True).name == "gentle"


def test_a_module_on_the_path_is_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outside_package").mkdir()
    write(tmp_path / "outside_package", "", "__init__.py")
    write(tmp_path / "outside_package", "def spread(outputs):\n    return len(outputs)\n", "spreads.py")
    monkeypatch.syspath_prepend(tmp_path)
    metric = plugin.load("metrics", "outside_package.spreads:spread", allow_code=True)
    assert metric.code is not None and metric.code.label == "outside_package.spreads:spread"
    assert metric.call({"outputs": [1, 2]}, metric.settings()) == 2


def test_a_file_is_imported_once_and_only_when_it_is_called(tmp_path: Path) -> None:
    path = write(tmp_path, COUNTING.format(path=tmp_path / "imports"))
    metric = load(path, "spread", "metrics")
    assert not (tmp_path / "imports").exists()
    assert [metric.call({"outputs": []}, metric.settings()) for _ in range(2)] == [1, 1]
    assert (tmp_path / "imports").read_text() == "x"


def test_code_that_is_not_allowed_is_refused(tmp_path: Path) -> None:
    for name in (f"{write(tmp_path)}:gentle", "no.such.module:gentle", "missing.py:gentle"):
        with pytest.raises(UserError, match="is your own code; allow it with --allow-code"):
            plugin.load("methods", name)


@pytest.mark.parametrize("name", ["mine.py:", ":gentle", "a b:gentle", "mine.py:two words", "https://host/mine.py:f()"])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"expected package\.module:function or path/to/file\.py:function"):
        plugin.load("methods", name, allow_code=True)


def test_a_missing_file_or_module_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.py: no such file"):
        load(tmp_path / "none.py")
    with pytest.raises(UserError, match=r"no module 'no_such_package\.module'.*set PYTHONPATH"):
        plugin.load("methods", "no_such_package.module:gentle", allow_code=True)


def test_an_import_that_fails_is_one_line(tmp_path: Path) -> None:
    method = load(write(tmp_path, "import no_such_package\n\n\ndef gentle(model):\n    return model\n"))
    with pytest.raises(UserError, match=r"mine\.py:gentle: cannot be imported: No module named 'no_such_package'"):
        method.function()


def test_a_name_that_is_not_imported_is_one_line(tmp_path: Path) -> None:
    method = load(
        write(tmp_path, "import math\n\n\ndef gentle(model, *, lr: PositiveFloat = 1.0):\n    return model\n")
    )
    with pytest.raises(UserError, match=r"mine\.py:4: cannot be imported: name 'PositiveFloat' is not defined"):
        method.function()


def test_the_name_of_a_built_in_plugin_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "def retrain(model):\n    return model\n")
    with pytest.raises(UserError, match="a built-in method has the name 'retrain'; rename the function"):
        load(path, "retrain")


MISTAKES = {
    "syntax error": ("def gentle(model)\n    return model\n", r"mine\.py:1: is not valid Python: expected ':'"),
    "null byte": ("def gentle(model):\n    return '\0'\n", r"mine\.py.*: is not valid Python: .*null byte"),
    "no such function": ("def gentel(model):\n    ...\n", r"no function 'gentle' .*did you mean 'gentel'\?"),
    "no function": ("gentle = 3\n", "no function 'gentle' at the top level; the file defines no function"),
    "unknown input": (
        "def gentle(\n    model,\n    retian,\n):\n    ...\n",
        r"mine\.py:3: gentle: unknown input 'retian'; did you mean 'retain'\?",
    ),
    "input of metrics": ("def gentle(outputs):\n    ...\n", "mine.py:1: gentle: unknown input 'outputs'"),
    "arguments": ("def gentle(*inputs):\n    ...\n", r"'\*inputs' is not allowed; name every input and setting"),
    "keywords": ("def gentle(model, **settings):\n    ...\n", r"'\*\*settings' is not allowed"),
    "positional-only": ("def gentle(model, /):\n    ...\n", "'model' is positional-only; remove the '/'"),
    "positional default": (
        "def gentle(model, lr: PositiveFloat = 1e-3):\n    ...\n",
        r"'lr' has a default but is not keyword-only; put '\*' before it",
    ),
    "no default": ("def gentle(model, *, lr: PositiveFloat):\n    ...\n", "the setting 'lr' has no default"),
    "no type": ("def gentle(model, *, lr=1e-3):\n    ...\n", "the setting 'lr' has no type"),
    "computed default": (
        "def gentle(model, *, lr: PositiveFloat = 1 / 1000):\n    ...\n",
        r"the default of 'lr' is computed: 1 / 1000; write a literal",
    ),
    "alias": (
        "Rate = float\n\n\ndef gentle(model, *, lr: Rate = 1e-3):\n    ...\n",
        r"mine\.py:4: gentle: the type Rate of 'lr' cannot be read; .* Fraction.*other aliases are not resolved",
    ),
    "type of torch": (
        "def gentle(model, *, x: torch.Tensor = None):\n    ...\n",
        "the type torch.Tensor of 'x' cannot",
    ),
    "type that is a value": ("def gentle(model, *, lr: 3 = 3):\n    ...\n", "the type 3 of 'lr' cannot be read"),
    "default of another type": (
        "def gentle(model, *, lr: PositiveFloat = -1.0):\n    ...\n",
        r"the default -1.0 of 'lr' does not fit its type PositiveFloat: expected greater than 0",
    ),
    "task": (
        "TASK = 'clustering'\ndef gentle(model):\n    ...\n",
        "mine.py:1: gentle: TASK is 'clustering'; expected one",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_the_author_is_one_message_with_file_and_line(mistake: str, tmp_path: Path) -> None:
    text, expected = MISTAKES[mistake]
    with pytest.raises(UserError, match=expected) as caught:
        load(write(tmp_path, text))
    assert "mine.py" in str(caught.value) and "\n" not in str(caught.value)


def test_all_mistakes_of_a_function_are_in_one_message(tmp_path: Path) -> None:
    path = write(tmp_path, "def gentle(modle, *, lr=1, share: Fraction = 2.0):\n    ...\n")
    with pytest.raises(UserError, match=r"unknown input 'modle'.*; .*'lr' has no type"):
        load(path)
