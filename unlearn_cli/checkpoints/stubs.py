"""Stubs: inert objects in place of all that a pickle names besides tensors. Nothing of the named code is imported."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, cast


class StubClass(type):
    """The class of stub classes. Equal to OrderedDict too, because torch lets items be set only on equal classes."""

    def __eq__(cls, other: object) -> bool:
        return cls is other or other is OrderedDict

    __hash__ = type.__hash__


class Stub(list[Any], metaclass=StubClass):
    """Records the arguments, the state, the list items and the mapping items that a pickle gives to an object."""

    path = ""  # module.name of the class or function
    arguments: tuple[Any, ...]
    state: Any
    entries: dict[Any, Any]

    def __new__(cls, *arguments: Any, **named: Any) -> "Stub":
        stub = super().__new__(cls)
        stub.arguments, stub.state, stub.entries = (*arguments, *named.values()), None, {}
        return stub

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__()

    def __setitem__(self, key: Any, value: Any) -> None:
        self.entries[key] = value

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__  # type: ignore[assignment]


def make_stub_class(path: str) -> type[Stub]:
    """Return a new stub class for a name such as `argparse.Namespace`."""
    return cast(type[Stub], StubClass("Stub", (Stub,), {"path": path}))


def as_mapping(value: Any) -> Mapping[Any, Any] | None:
    """Return the items of a dictionary, or of a stub for a kind of dictionary; None for other objects."""
    if isinstance(value, Stub):
        return value.entries or None
    return value if isinstance(value, dict) else None


def is_network(value: Any) -> bool:
    """Whether a stub stands for a whole torch.nn.Module."""
    return isinstance(value, Stub) and isinstance(value.state, dict) and {"_modules", "_parameters"} <= set(value.state)
