"""Old names of settings: refused with the new one, and listed in the docs."""

import re
from pathlib import Path

import pytest

from unlearn_cli.errors import UserError
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.renamed_settings import RENAMED

PAGE = Path(__file__).parents[2] / "docs/reference/renamed-settings.md"
CASES = [(name, old, new) for name, renamed in RENAMED.items() for old, new in renamed.items()]


def load(name: str) -> plugin.Plugin:
    kind = next(kind for kind in ("methods", "metrics", "attacks") if name in discovery.entries(kind))
    return plugin.load(kind, name)


@pytest.mark.parametrize("name, old, new", CASES)
def test_an_old_name_is_refused_with_the_new_one(name: str, old: str, new: str) -> None:
    settings = load(name).settings.model_fields
    assert new in settings
    assert old not in settings
    with pytest.raises(UserError) as error:
        plugin.complete_settings(load(name), None, [f"{old}=1"])
    assert str(error.value) == f"--set: {name}: the setting '{old}' is now named '{new}'"


def test_the_page_lists_every_renamed_setting() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(CASES)
