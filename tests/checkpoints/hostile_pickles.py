"""Files that would run code, hang, or fill the memory of a program that reads them as pickles."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

MARK = "hostile-code-ran"  # the file that the code would create, in the working directory
SHELL = f"touch {MARK}"
PYTHON = f"open({MARK!r}, 'w')"


def imported(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    """Return the opcodes that call a function."""
    return imported(module, name) + b"(" + b"".join(arguments) + b"tR"


def pickled(body: bytes, protocol: int = 2) -> bytes:
    return b"\x80" + bytes([protocol]) + body + b"."


def zipped(
    body: bytes,
    *,
    protocol: int = 2,
    names: tuple[str, ...] = ("archive/data.pkl",),
    compression: int = 0,
    records: Mapping[str, bytes] = {},
) -> bytes:
    """Return an archive as torch.save writes it, with any pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name in names:
            archive.writestr(name, pickled(body, protocol))
        archive.writestr("archive/version", b"3\n")
        archive.writestr("archive/byteorder", b"little")
        for name, content in records.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def legacy(body: bytes) -> bytes:
    """Return a file in the format before torch 1.6."""
    head = [torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {"little_endian": True}]
    return b"".join(pickle.dumps(item, protocol=2) for item in head) + pickled(body) + pickle.dumps([], protocol=2)


def in_dictionary(body: bytes) -> bytes:
    """Put an object next to the weights of a dictionary."""
    return b"}(" + text("args") + body + b"u"


class Reduced:
    """An object that a pickler writes as the call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def saved(content: Any, *, zip_format: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=zip_format)
    return buffer.getvalue()


def storage(numel: bytes, *, key: str = "0") -> bytes:
    """Return the persistent id of a storage of torch."""
    return b"(" + text("storage") + imported("torch", "FloatStorage") + text(key) + text("cpu") + numel + b"tQ"


def tensor(numel: bytes, size: bytes, stride: bytes, *, key: str = "0") -> bytes:
    function = imported("torch._utils", "_rebuild_tensor_v2")
    hooks = call("collections", "OrderedDict")
    return function + b"(" + storage(numel, key=key) + b"K\x00(" + size + b"t(" + stride + b"t\x89" + hooks + b"tR"


def weights(body: bytes) -> bytes:
    return b"}(" + text("weight") + body + b"u"


def long(number: int) -> bytes:
    data = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def tuple_bomb(levels: int) -> bytes:
    """Return nested tuples of 2^levels items, which are small in memory, and slow to hash."""
    body = b")q\x00"
    for level in range(levels):
        body += b"h" + bytes([level]) + b"h" + bytes([level]) + b"\x86q" + bytes([level + 1])
    return body


def deep_tuple(depth: int) -> bytes:
    return b")" + b"\x85" * depth


def as_key(body: bytes) -> bytes:
    return b"}(" + body + b"K\x01u"


def list_bomb(levels: int) -> bytes:
    """Return lists in lists of 2^levels items when they are written out."""
    body = b"]q\x00"
    for level in range(levels):
        body += b"](h" + bytes([level]) + b"h" + bytes([level]) + b"eq" + bytes([level + 1])
    return body


CALLS: dict[str, bytes] = {
    "os.system": call("os", "system", text(SHELL)),
    "posix.system": call("posix", "system", text(SHELL)),
    "nt.system": call("nt", "system", text(SHELL)),
    "eval": call("builtins", "eval", text(PYTHON)),
    "eval of Python 2": call("__builtin__", "eval", text(PYTHON)),
    "exec": call("builtins", "exec", text(PYTHON)),
    "open": call("builtins", "open", text(MARK), text("w")),
    "io.open": call("io", "open", text(MARK), text("w")),
    "import": call("builtins", "__import__", text("antigravity")),
    "importlib": call("importlib", "import_module", text("antigravity")),
    "subprocess.Popen": call("subprocess", "Popen", text(SHELL)),
    "subprocess.check_output": call("subprocess", "check_output", text(SHELL)),
    "runpy": call("runpy", "run_path", text(MARK)),
    "pty.spawn": call("pty", "spawn", text("sh")),
    "shutil.rmtree": call("shutil", "rmtree", text(".")),
    "webbrowser": call("webbrowser", "open", text("localhost")),
    "socket": call("socket", "create_connection", text("localhost")),
    "ctypes": call("ctypes", "CDLL", text("libc.so.6")),
    "pickle.loads": call("pickle", "loads", text("x")),
    "marshal": call("marshal", "loads", text("x")),
    "timeit": call("timeit", "timeit", text(PYTHON)),
    "torch.load": call("torch", "load", text(MARK)),
    "torch.serialization.load": call("torch.serialization", "load", text(MARK)),
    "torch.hub.load": call("torch.hub", "load", text("a/b")),
    "torch.jit.load": call("torch.jit", "load", text(MARK)),
    "pickle within a pickle": call("torch.storage", "_load_from_bytes", text("x")),
    "code object": call("types", "CodeType", text("x")),
    "sys.setattr": call("builtins", "setattr", imported("sys", "modules"), text("a"), text("b")),
    "pip": call("pip", "main", text("install")),
    "pydoc": call("pydoc", "pipepager", text("x"), text(SHELL)),
}
CHAINS: dict[str, bytes] = {
    "getattr of builtins": call("builtins", "getattr", imported("builtins", "dict"), text("update")) + b"(t" + b"R",
    "getattr twice": call("builtins", "getattr", call("builtins", "getattr", text("a"), text("b")), text("c")) + b")R",
    "call of a result": call("operator", "attrgetter", text("__class__")) + b"(" + text("x") + b"tR",
    "partial": call("functools", "partial", imported("builtins", "print"), text(MARK)) + b")R",
    "map over print": call("builtins", "map", imported("builtins", "print"), text(MARK)) + b"K\x01" + b"R",
    "state of a function": imported("torch._utils", "_rebuild_tensor_v2") + b"}(" + text("a") + text("b") + b"ub",
    "state of a dtype": imported("torch", "float32") + b"}(" + text("a") + text("b") + b"ub",
    "new object of a function": imported("torch._utils", "_rebuild_tensor") + b")\x81",
    "set of items of a tensor class": imported("torch", "Tensor") + b"(" + text("a") + text("b") + b"u",
}
FILES: dict[str, Callable[[], bytes]] = {
    "legacy with os.system": lambda: legacy(CALLS["os.system"]),
    "legacy with eval": lambda: legacy(in_dictionary(CALLS["eval"])),
    "legacy with a chain": lambda: legacy(CHAINS["call of a result"]),
    "legacy whose magic number is code": lambda: pickled(CALLS["eval"]) + legacy(b"}"),
    "written by torch.save, zip": lambda: saved({"weight": torch.ones(2), "args": Reduced(eval, PYTHON)}),
    "written by torch.save, legacy": lambda: (
        saved({"weight": torch.ones(2), "a": Reduced(exec, PYTHON)}, zip_format=False)
    ),
    "plain pickle": lambda: pickle.dumps(Reduced(eval, PYTHON)),
    "plain pickle, protocol 0": lambda: pickle.dumps(Reduced(eval, PYTHON), protocol=0),
    "protocol 4": lambda: zipped(text("builtins") + text("eval") + b"\x93" + b"(" + text(PYTHON) + b"tR", protocol=4),
    "names from the stack": lambda: zipped(text("builtins") + text("eval") + b"\x93" + b"(" + text(PYTHON) + b"tR"),
    "old instance opcode": lambda: zipped(b"(" + text(PYTHON) + b"ibuiltins\neval\n"),
    "old object opcode": lambda: zipped(b"(" + imported("builtins", "eval") + text(PYTHON) + b"o"),
    "extension code": lambda: zipped(b"\x82\x01"),
    "persistent id that is no storage": lambda: zipped(b"(" + text("module") + imported("os", "system") + b"tQ"),
    "hash of nested tuples": lambda: zipped(as_key(tuple_bomb(60))),
    "hash of deep tuples": lambda: zipped(as_key(deep_tuple(200_000))),
    "set of nested tuples": lambda: zipped(call("builtins", "set", b"(" + tuple_bomb(60) + b"l")),
    "lists in lists": lambda: zipped(list_bomb(60)),
    "bytes of a terabyte": lambda: zipped(in_dictionary(call("builtins", "bytearray", long(2**52)))),
    "text that is longer than the file": lambda: zipped(b"X\xff\xff\xff\x7fabc"),
    "storage of a huge size": lambda: (
        zipped(weights(tensor(long(2**60), long(2**60), b"K\x01")), records={"data/0": b""})
    ),
    "negative storage": lambda: zipped(weights(tensor(long(-5), long(-5), b"K\x01")), records={"data/0": b"abcd"}),
    "tensor outside its storage": lambda: (
        zipped(weights(tensor(b"K\x01", b"M\xff\x7f", b"K\x01")), records={"data/0": bytes(4)})
    ),
    "tensor that repeats a number": lambda: (
        zipped(weights(tensor(b"K\x01", long(2**50), b"K\x00")), records={"data/0": bytes(4)})
    ),
    "storage outside the folder": lambda: (
        zipped(weights(tensor(b"K\x01", b"K\x01", b"K\x01", key="../../../etc/passwd")))
    ),
    "names that leave the folder": lambda: zipped(b"}", names=("../data.pkl",)),
    "absolute names": lambda: zipped(CALLS["eval"], names=("/archive/data.pkl",)),
    "two pickles": lambda: zipped(CALLS["eval"], names=("archive/data.pkl", "other/data.pkl")),
    "a name in two spellings": lambda: zipped(CALLS["eval"], names=("archive/data.pkl", "archive/DATA.PKL")),
    "compressed archive": lambda: zipped(weights(b"N") + b"0" * 10**6, compression=zipfile.ZIP_DEFLATED),
    "TorchScript": lambda: zipped(b"}", records={"constants.pkl": pickled(b")"), "code/a.py": PYTHON.encode()}),
    "archive without a pickle": lambda: zipped(b"}", names=()),
    "truncated archive": lambda: zipped(CALLS["eval"])[:-30],
    "truncated pickle": lambda: zipped(b"}(" + text("a"))[:60],
    "no end": lambda: pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2) * 3 + b"\x80\x02}",
    "many classes": lambda: zipped(b"](" + b"".join(imported("a", f"b{i}") for i in range(2000)) + b"e"),
    "empty stack": lambda: zipped(b"0" * 100),
    "network of unknown code": lambda: saved(torch.nn.Sequential(torch.nn.Linear(2, 2))),
}  # fmt: skip


def write_all(folder: Path) -> list[Path]:
    """Write every file; return the paths."""
    contents = {
        **{f"call of {name}": zipped(in_dictionary(body)) for name, body in CALLS.items()},
        **{f"chain: {name}": zipped(body) for name, body in CHAINS.items()},
        **{name: build() for name, build in FILES.items()},
    }
    paths = [folder / f"{name.replace(' ', '-')}.pth" for name in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        path.write_bytes(content)
    return paths
