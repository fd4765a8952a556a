"""What `show`, the help pages and the docs say of a plug-in's settings."""

from pathlib import Path

import pytest

from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.setting_docs import Setting, describe_settings

SETTINGS = [
    Setting("lr", "number", "above 0", "0.001", "learning rate"),
    Setting("steps", "integer or null", "at least 1", "null", ""),
    Setting("share", "number", "0 to 1", "0.5", ""),
    Setting("batch_norm", "one of batch, frozen", "", "batch", "", ("batch", "frozen")),
    Setting("layers", "list of text or null", "", "null", ""),
    Setting("margin", "number", "above 0, at most 0.9", "0.5", ""),
    Setting("bias", "true or false", "", "true", ""),
]
SOURCE = """
def gentle(
    model,
    *,
    lr: Annotated[PositiveFloat, Doc("learning rate")] = 1e-3,
    steps: PositiveInt | None = None,
    share: Fraction = 0.5,
    batch_norm: BatchNorm = "batch",
    layers: list[str] | None = None,
    margin: Annotated[float, Field(gt=0, le=0.9)] = 0.5,
    bias: bool = True,
):
    ...
"""


def test_a_setting_has_type_range_default_and_help(tmp_path: Path) -> None:
    (tmp_path / "gentle.py").write_text(SOURCE, encoding="utf-8")
    assert describe_settings(plugin.read_source("methods", "gentle", tmp_path / "gentle.py", "gentle")) == SETTINGS


@pytest.mark.parametrize("kind", ["methods", "metrics", "attacks"])
def test_every_setting_of_every_plugin_can_be_described(kind: str) -> None:
    for name in discovery.entries(kind):
        for setting in describe_settings(plugin.load(kind, name)):
            assert setting.type and setting.default, f"{name}: {setting.name}"
