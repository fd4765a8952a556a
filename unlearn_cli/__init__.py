"""Make a saved model forget part of its training data, and show with numbers whether it did.

The functions correspond to the commands; see `docs/guides/python-api.md`. They and torch are imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from unlearn_cli.storage.version import VERSION as __version__

if TYPE_CHECKING:
    from unlearn_cli.commands.api import attack, evaluate, inspect, noise, read_report, train, unlearn

__all__ = ["__version__", "attack", "evaluate", "inspect", "noise", "read_report", "train", "unlearn"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("unlearn_cli.commands.api"), name)
    raise AttributeError(f"module 'unlearn_cli' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
