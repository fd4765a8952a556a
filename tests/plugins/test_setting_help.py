"""Every setting of every plug-in has one line of help."""

import pytest

from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.setting_docs import describe_settings

PLUGINS = [plugin.load(kind, name) for kind in ("methods", "metrics", "attacks") for name in discovery.entries(kind)]
PLUGINS += [
    plugin.inspect("training", "fit", "unlearn_cli.learning.training"),
    plugin.inspect("noise", "learn_noise", "unlearn_cli.learning.noise"),
]


@pytest.mark.parametrize("owner", PLUGINS, ids=lambda owner: owner.name)
def test_every_setting_has_one_line_of_help(owner: Plugin) -> None:
    for setting in describe_settings(owner):
        assert 5 <= len(setting.help) <= 110, f"{owner.name}.{setting.name}: {setting.help!r}"
        assert "\n" not in setting.help
        assert not setting.help.endswith(".")


def test_retrain_and_train_describe_their_settings_equally() -> None:
    assert describe_settings(plugin.load("methods", "retrain")) == describe_settings(PLUGINS[-2])
