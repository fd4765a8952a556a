"""Reads the opcodes of pickles without carrying them out: the names they import, and tuples that would hang."""

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

MOST_NESTED, MOST_ITEMS = 100, 2**20  # of tuples: hashing one visits all its items, and is recursive
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "EMPTY_TUPLE": 0}
GETS, PUTS = ("GET", "BINGET", "LONG_BINGET"), ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")
PROTOCOL = 2  # of torch.save, and the only one that torch's reader of weights supports


# Code in a checkpoint is replaced by stubs, except for what only an attack needs.
DANGEROUS_MODULES = {
    *("aiohttp", "asyncio", "bdb", "codeop", "ctypes", "ftplib", "http", "httplib", "importlib", "marshal", "nt", "os"),
    *("pdb", "pickle", "pip", "pkgutil", "posix", "pty", "pydoc", "requests", "runpy", "shutil", "smtplib", "socket"),
    *("ssl", "subprocess", "sys", "timeit", "urllib", "urllib2", "webbrowser"),
    *("_pickle", "_posixsubprocess", "_winapi", "cPickle", "cProfile"),
}
DANGEROUS_NAMES = {
    *(f"builtins.{name}" for name in ("__import__", "breakpoint", "compile", "delattr", "eval", "exec", "exit")),
    *(f"builtins.{name}" for name in ("globals", "input", "locals", "open", "quit", "setattr", "vars")),
    *("torch.load", "torch.save", "torch.serialization.load", "torch.storage._load_from_bytes", "torch.jit.load"),
    *("torch.package.PackageImporter", "torch.utils.cpp_extension.load_inline", "numpy.load", "types.CodeType"),
    *("types.FunctionType", "io.open", "_io.open", "_io.FileIO", "io.FileIO", "codecs.open", "operator.methodcaller"),
}
DANGEROUS_PARTS = ("code.Interactive", "code.interact", "torch.hub.", "torch.distributed.rpc.", "pathlib.Path.")


def find_dangerous(names: Iterable[str]) -> str | None:
    """Return the first name that runs code, or reads or changes the system, when it is called; None if none does."""
    return next((name for name in sorted(names) if _is_dangerous(name)), None)


def _is_dangerous(name: str) -> bool:
    return name.partition(".")[0] in DANGEROUS_MODULES or name in DANGEROUS_NAMES or name.startswith(DANGEROUS_PARTS)


class Stream(Protocol):
    """What pickletools reads from, such as a memory map, whose `read` never returns more than the file has."""

    def read(self, size: int = ..., /) -> bytes: ...
    def readline(self) -> bytes: ...
    def tell(self) -> int: ...


@dataclass(frozen=True)
class Nested:
    """The number of items in an object if it is a tuple, with those of the tuples in it, and their depth."""

    items: int = 1
    depth: int = 0


@dataclass
class Scan:
    """What one pickle contains."""

    names: set[str] = field(default_factory=set)  # module.name
    protocol: int = 0
    stack: list[Nested] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)  # lengths of the stack
    memo: dict[int, Nested] = field(default_factory=dict)


def scan_pickle(stream: Stream) -> Scan:
    """Read one pickle up to its end.

    Raises:
        ValueError: it is not a pickle, is truncated, or contains tuples whose hash would take forever.
    """
    scan = Scan()
    for name, argument in _read_opcodes(stream):
        if name == "PROTO":
            scan.protocol = int(argument or 0)
        elif name == "GLOBAL":
            scan.names |= list_spellings(str(argument))
        _follow(scan, name, argument)
    return scan


def list_spellings(imported: str) -> set[str]:
    """Return `module.name` of a `module name` in a pickle, as written, and as Python 3 names it."""
    module, _, name = imported.partition(" ")
    renamed = NAME_MAPPING.get((module, name)) or (IMPORT_MAPPING.get(module, module), name)
    return {f"{module}.{name}", ".".join(renamed)}


def _read_opcodes(stream: Stream) -> Iterator[tuple[str, int | str | None]]:
    for opcode, argument, _ in pickletools.genops(stream):  # type: ignore[arg-type]
        yield opcode.name, argument


def _follow(scan: Scan, name: str, argument: int | str | None) -> None:
    """Keep track of the sizes of tuples on the stack and in the memo, as the opcode changes them."""
    opcode = OPCODES[name]
    if name == "MARK":
        scan.marks.append(len(scan.stack))
    elif name in PUTS:
        scan.memo[len(scan.memo) if name == "MEMOIZE" else int(argument or 0)] = _top(scan)
    elif name in GETS:
        scan.stack.append(scan.memo.get(int(argument or 0), Nested()))
    elif name == "DUP":
        scan.stack.append(_top(scan))
    elif name == "TUPLE" or name in TUPLES:
        scan.stack.append(_combine(_pop(scan, TUPLES.get(name))))
    else:
        marked = pickletools.markobject in opcode.stack_before
        _pop(scan, None if marked else len(opcode.stack_before))
        if marked and opcode.stack_before[0] is not pickletools.markobject:
            _pop(scan, opcode.stack_before.index(pickletools.markobject))
        scan.stack += [Nested()] * len(opcode.stack_after)


def _top(scan: Scan) -> Nested:
    return scan.stack[-1] if scan.stack else Nested()


def _pop(scan: Scan, count: int | None) -> list[Nested]:
    """Remove `count` objects, or all above the last mark."""
    start = len(scan.stack) - count if count is not None else scan.marks.pop() if scan.marks else 0
    removed = scan.stack[max(start, 0) :]
    del scan.stack[max(start, 0) :]
    return removed


def _combine(items: list[Nested]) -> Nested:
    nested = Nested(1 + sum(item.items for item in items), 1 + max((item.depth for item in items), default=0))
    if nested.items > MOST_ITEMS or nested.depth > MOST_NESTED:
        raise ValueError(f"contains tuples nested {nested.depth} deep with {nested.items} items")
    return nested


OPCODES = {opcode.name: opcode for opcode in pickletools.opcodes}
