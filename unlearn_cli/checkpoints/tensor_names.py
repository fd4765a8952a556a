"""Names of tensors: how the names in a checkpoint become those of the network, and back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from unlearn_cli.errors import UserError


@dataclass(frozen=True)
class NameMapping:
    """A prefix to strip, and parts of names to replace: `model.prefix` and `model.rename` of a manifest.

    A part is one or several whole components of a name: `linear` matches `linear.weight` and `block.linear.bias`, but
    not `linear1.weight`. The empty part matches the beginning of every name.
    """

    prefix: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)

    def apply(self, names: Iterable[str]) -> dict[str, str]:
        """Return the network's name of each stored name; names without the prefix are omitted, unless none has it.

        Raises:
            UserError: two names become equal.
        """
        stored, prefix = list(names), dotted(self.prefix)
        if prefix and any(name.startswith(prefix) for name in stored):
            renamed = {name: name.removeprefix(prefix) for name in stored if name.startswith(prefix)}
        else:  # a reference from `unlearn-cli train` has the network's own names
            renamed = {name: name for name in stored}
        for old, new in self.rename.items():
            renamed = {name: replace_part(changed, old, new) for name, changed in renamed.items()}
        refuse_equal(renamed)
        return renamed


def dotted(prefix: str) -> str:
    """Return a prefix with the dot at its end."""
    return prefix if not prefix or prefix.endswith(".") else f"{prefix}."


def replace_part(name: str, old: str, new: str) -> str:
    """Replace whole components of a dotted name; an empty `new` removes them, an empty `old` is the beginning."""
    components, searched, replacement = name.split("."), _split(old), _split(new)
    if not searched:
        return ".".join([*replacement, name])
    result, position = [], 0
    while position < len(components):
        if components[position : position + len(searched)] == searched:
            result += replacement
            position += len(searched)
        else:
            result.append(components[position])
            position += 1
    return ".".join(result)


def has_part(name: str, part: str) -> bool:
    """Whether `replace_part` changes a name."""
    return not _split(part) or f".{'.'.join(_split(part))}." in f".{name}."


def find_common_prefix(names: Iterable[str]) -> str:
    """Return the components, with a dot at the end, that begin all names of several; '' if they share none."""
    split = [name.split(".")[:-1] for name in names]
    if len(split) < 2:
        return ""
    shared = 0
    while all(len(parts) > shared for parts in split) and len({parts[shared] for parts in split}) == 1:
        shared += 1
    return "".join(f"{part}." for part in split[0][:shared])


def _split(part: str) -> list[str]:
    return part.strip(".").split(".") if part.strip(".") else []


def refuse_equal(renamed: Mapping[str, str]) -> None:
    """Check that different tensors get different names.

    Raises:
        UserError: they do not, or one gets none.
    """
    owners: dict[str, str] = {}
    for name, changed in renamed.items():
        if changed in owners:
            raise UserError(f"'{owners[changed]}' and '{name}' would both be named '{changed}'; rename fewer parts")
        if not changed:
            raise UserError(f"'{name}' would have no name; rename fewer parts")
        owners[changed] = name
