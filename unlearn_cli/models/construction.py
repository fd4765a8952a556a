"""What the builders of networks share: optional libraries, and mistakes in arguments as one line."""

import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from unlearn_cli.errors import UserError

OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
MISTAKES = (TypeError, ValueError, RuntimeError, IndexError, AssertionError, KeyError, AttributeError)


def import_extra(name: str, location: str = "model.architecture") -> Any:
    """Import a library that is an extra of this package, with its access to the network switched off.

    `location` names the key or option that needs it, for messages.

    Raises:
        UserError: it is not installed.
    """
    os.environ.update(dict.fromkeys(OFFLINE, "1"))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise UserError(
            f"{location}: {name} is not installed; install it with: pip install 'unlearn-cli[{name}]'"
        ) from None


def construct(function: Callable[..., nn.Module], name: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Call a function that builds a network.

    Raises:
        UserError: it does not accept the arguments.
    """
    try:
        return function(**arguments)
    except MISTAKES as error:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items() if key != "weights")
        reason = " ".join(str(error).split())
        raise UserError(
            f"model: {name} cannot be built with {given}: {reason}; fix model.arguments or input.shape"
        ) from None
