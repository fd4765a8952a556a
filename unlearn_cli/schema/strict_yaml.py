"""Strict YAML: YAML-1.2 scalars, no tags, no duplicate keys, bounded size, a line number for every value.

PyYAML's loader reads `1e-4` as a string, `no` as False and `012` as 10, and uses the last of two equal keys. Here, an
unquoted scalar keeps its text in addition to its value: `02` may be the name of a class that is not `2`.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import Resolver

from unlearn_cli.errors import UserError
from unlearn_cli.storage.regular_files import read_file_or_pipe

MAX_BYTES, MAX_DEPTH, MAX_ALIASES, MAX_VALUES = 2**20, 32, 50, 2**18

Position = tuple[int, int]  # line and column, both from 1
Location = tuple[str | int, ...]  # the keys and indices that lead to a value


class PlainScalar(str):
    """An unquoted number or boolean of a file: its text as written, and its value."""

    value: int | float | bool

    def __new__(cls, text: str, value: int | float | bool) -> "PlainScalar":
        scalar = super().__new__(cls, text)
        scalar.value = value
        return scalar

    def __reduce__(self) -> tuple[type["PlainScalar"], tuple[str, int | float | bool]]:
        return PlainScalar, (str(self), self.value)


def to_python(value: Any) -> Any:
    """Replace each `PlainScalar` by its value, also in lists and mappings."""
    if isinstance(value, PlainScalar):
        return value.value
    if isinstance(value, dict):
        return {key: to_python(item) for key, item in value.items()}
    return [to_python(item) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True)
class Document:
    """The content of a YAML file with the position of each value."""

    path: Path
    value: Any  # plain Python objects
    positions: dict[Location, Position]
    raw: Any = None  # as `value`, with each unquoted number and boolean as `PlainScalar`

    def where(self, location: Location) -> str:
        """Return 'file:line:column' of the value at `location`, or of the nearest value around it."""
        while location not in self.positions and location:
            location = location[:-1]
        line, column = self.positions.get(location, (1, 1))
        return f"{self.path}:{line}:{column}"


def read(path: Path) -> Document:
    """Read a YAML file or a pipe.

    Raises:
        UserError: it cannot be read or is not strict YAML; the message starts with file, line and column.
    """
    return parse(read_file_or_pipe(path, MAX_BYTES), path)


def parse(data: bytes | str, path: Path) -> Document:
    """Parse YAML text; `path` is only used in messages."""
    positions: dict[Location, Position] = {}
    try:
        text = data.decode() if isinstance(data, bytes) else data
        node = _Composer(_check_events(text, path)).get_single_node()
        raw = None if node is None else _construct_value(node, (), positions, path)
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text; expected a YAML file") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
        lines = (data.decode() if isinstance(data, bytes) else data).splitlines()
        has_variable = mark is not None and any("${" in line for line in lines[mark.line : mark.line + 1])
        advice = "; quote text with ${NAME} between braces" if has_variable else ""
        raise UserError(f"{position}: is not valid YAML: {error.problem or error.context}{advice}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from None
    except (ValueError, OverflowError):  # raised by PyYAML for \UFFFFFFFF
        raise UserError(f"{path}: is not valid YAML: an escape such as \\U00110000 is not a character") from None
    return Document(path, to_python(raw), positions, raw)


class _Composer(Composer, Resolver):
    """Composes events that were checked: `yaml.compose` would scan the text again.

    Resolves only the scalars of YAML 1.2's core schema.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}

    def __init__(self, events: Iterable[yaml.Event]) -> None:
        Composer.__init__(self)
        Resolver.__init__(self)
        self.events = deque(events)

    def check_event(self, *kinds: type[yaml.Event]) -> bool:
        return bool(self.events) and isinstance(self.events[0], kinds)

    def peek_event(self) -> yaml.Event:
        return self.events[0]

    def get_event(self) -> yaml.Event:
        return self.events.popleft()


_NUMBER = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", rf"{_NUMBER}|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
):
    _Composer.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*list(_first), ""])


def _check_events(text: str, path: Path) -> Iterator[yaml.Event]:
    """Yield the events of a text; refuse tags, deep nesting and many aliases before anything is built or expanded."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent))
        depth -= isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent))
        aliases += isinstance(event, yaml.AliasEvent)
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if tag := getattr(event, "tag", None):
            raise UserError(f"{path}:{line}:{column}: the tag {tag} is not allowed; write the plain value")
        if depth > MAX_DEPTH or aliases > MAX_ALIASES:
            excess = f"more than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"more than {MAX_ALIASES} aliases"
            raise UserError(f"{path}:{line}:{column}: {excess}; use fewer")
        yield event


def _construct_value(node: Node, location: Location, positions: dict[Location, Position], path: Path) -> Any:
    position = (node.start_mark.line + 1, node.start_mark.column + 1)
    positions.setdefault(location, position)
    at = f"{path}:{position[0]}:{position[1]}"
    if len(location) > MAX_DEPTH:  # aliases can nest deeper than the text
        raise UserError(f"{at}: more than {MAX_DEPTH} levels; use fewer")
    if len(positions) > MAX_VALUES:  # aliases of aliases double with every line
        raise UserError(f"{at}: more than {MAX_VALUES} values; use fewer")
    if isinstance(node, MappingNode):
        return _construct_mapping(node, location, positions, path)
    if isinstance(node, SequenceNode):
        return [_construct_value(item, (*location, i), positions, path) for i, item in enumerate(node.value)]
    assert isinstance(node, ScalarNode)
    return _construct_scalar(node, at)


def _construct_mapping(
    node: MappingNode, location: Location, positions: dict[Location, Position], path: Path
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in node.value:
        at = f"{path}:{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}"
        if not isinstance(key_node, ScalarNode):
            raise UserError(f"{at}: a key must be a plain word")
        key = key_node.value
        if key in result:
            raise UserError(f"{at}: duplicate key '{key}'; remove one of the two")
        positions[*location, key] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        result[key] = _construct_value(value_node, (*location, key), positions, path)
    return result


def _construct_scalar(node: ScalarNode, at: str) -> Any:
    kind, text = node.tag.rpartition(":")[2], node.value
    if kind == "str":
        return text
    if kind == "int":
        return PlainScalar(text, _parse_number(text, at))
    if kind == "float":
        return PlainScalar(text, float(text.lower().replace(".inf", "inf").replace(".nan", "nan")))
    if kind == "bool":
        return PlainScalar(text, text.lower() == "true")
    assert kind == "null"
    return None


def _parse_number(text: str, at: str) -> int:
    try:
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    except ValueError:  # Python refuses numbers of more than 4300 digits
        raise UserError(f"{at}: a number of {len(text)} digits is too large; quote it if it is a name") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML mapping, such as a file of settings, with unquoted numbers and booleans as `PlainScalar`.

    Raises:
        UserError: as `read`, or the content is not a mapping.
    """
    value = read(path).raw
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a mapping 'name: value', one setting per line")
    return value


def parse_setting(text: str) -> Any:
    """Parse the value of `--set name=value` by the same rules; text that is not YAML is a string."""
    try:
        return parse(text, Path("--set")).raw
    except UserError:
        return text
