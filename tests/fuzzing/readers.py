"""The readers that are fuzzed: each with valid files to mutate, and a call that does what a command does with one."""

import gzip
import io
import json
import struct
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import numpy as np
import yaml
from PIL import Image
from safetensors.numpy import save

from tests.fuzzing import mutations as m
from unlearn_cli.batch.ledger.store import open_ledger
from unlearn_cli.batch.requests.request_files import read_request_file
from unlearn_cli.batch.settings import deletion
from unlearn_cli.checkpoints.checkpoint_header import read_header
from unlearn_cli.checkpoints.file_digests import tensor_digest
from unlearn_cli.data.dataset import describe, open_dataset
from unlearn_cli.errors import CliError
from unlearn_cli.learning import shadows
from unlearn_cli.plugins import plugin
from unlearn_cli.schema import manifest
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.storage import remote

N, SHAPE = 6, [1, 4, 4]
X, Y = np.arange(N * 4, dtype=np.float32).reshape(N, 4), np.arange(N) % 2


@dataclass(frozen=True)
class Reader:
    """`seeds` are valid files by their names, `mutations` what is done to them, `read` is called with the folder."""

    name: str
    seeds: Callable[[], dict[str, bytes]]
    read: Callable[[Path], object]
    mutations: tuple[m.Mutation, ...] = ()
    others: Callable[[], dict[str, bytes]] = field(default=dict)  # files that stay as they are
    allowed: tuple[int, ...] = (2,)  # exit codes beside success


@dataclass(frozen=True)
class Outcome:
    code: int
    message: str = ""


def cases(reader: Reader, count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield the names and contents of mutated files; the first ones are unchanged."""
    seeds = reader.seeds()
    yield from seeds.items()
    for number in range(count - len(seeds)):
        random = Random(f"{reader.name} {seed} {number}")
        name = random.choice(list(seeds))
        changes = (m.bytes_changed, *reader.mutations)
        try:
            yield name, random.choice(changes)(random, seeds[name])
        except UnicodeEncodeError:  # half a surrogate pair where no text may have one
            yield name, m.bytes_changed(random, seeds[name])


def outcome(reader: Reader, folder: Path, name: str, content: bytes) -> Outcome:
    """Read one file as a command would; what is no error of the user's is raised."""
    for other, one in {**reader.others(), **reader.seeds(), name: content}.items():
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        (folder / other).write_bytes(one)
    try:
        with redirect_stderr(io.StringIO()):
            reader.read(folder)
    except CliError as error:
        assert error.exit_code in reader.allowed, f"exit {error.exit_code}: {error}"
        assert str(error)
        return Outcome(error.exit_code, str(error))
    return Outcome(0)


def run(reader: Reader, count: int, seed: int = 0) -> list[Outcome]:
    """Read all cases of a reader, each in an empty folder, in which nothing may be left."""
    found = []
    for name, content in cases(reader, count, seed):
        with tempfile.TemporaryDirectory() as folder:
            found.append(outcome(reader, Path(folder), name, content))
            expected = {*reader.seeds(), *reader.others()}
            left = {
                path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()
            } - expected
            assert not left, left
    return found


# What is done with data: all of it is read, and some of it forgotten.


def data(folder: Path, source: dict[str, Any], shape: list[int], **more: Any) -> object:
    described = {
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": shape},
        "data": {"train": source}, **more,
    }  # fmt: skip
    checked = Manifest.model_validate(described)
    checked._folder = folder
    dataset = open_dataset(checked.data_sections)
    train = dataset.split("train")
    train.records.inputs.take(train.rows)
    return describe(dataset), train.ids


def source_of(**spec: Any) -> Callable[[Path], object]:
    return lambda folder: data(folder, spec, [4])


def pictures(suffix: str) -> Callable[[Path], object]:
    del suffix
    return lambda folder: data(folder, {"imagefolder": "images"}, [3, 4, 4])


# Valid files.


def npz() -> dict[str, bytes]:
    buffer = io.BytesIO()
    np.savez(buffer, x=X, y=Y, who=np.array([f"p{i}" for i in range(N)]))
    return {"data.npz": buffer.getvalue()}


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_files() -> dict[str, bytes]:
    return {
        "images.idx": idx(np.arange(N * 16, dtype=np.uint8).reshape(N, 4, 4)),
        "labels.idx": idx(Y.astype(np.uint8)),
    }


def image(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def images(kind: str, suffix: str) -> Callable[[], dict[str, bytes]]:
    return lambda: {f"images/a/0.{suffix}": image(kind)}


def second_class() -> dict[str, bytes]:
    return {"images/b/0.png": image("png")}


def shard() -> dict[str, bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for row in range(3):
            facts = json.dumps({"who": f"p{row}"}).encode()
            for suffix, content in (("png", image("png")), ("cls", b"%d" % (row % 2)), ("json", facts)):
                member = tarfile.TarInfo(f"{row}.{suffix}")
                member.size, member.mtime = len(content), row / 2
                tar.addfile(member, io.BytesIO(content))
    return {"shard.tar": buffer.getvalue()}


ROWS = [
    {"id": f"r{i}", "a": i / 2, "b": i, "c": -i, "d": 0, "when": f"2024-01-0{i + 1}", "label": "xy"[i % 2]}
    for i in range(N)
]


def csv_table() -> dict[str, bytes]:
    lines = [",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)]
    return {"table.csv": "\n".join(lines).encode() + b"\n"}


def jsonl_table() -> dict[str, bytes]:
    return {"table.jsonl": "".join(json.dumps(row) + "\n" for row in ROWS).encode()}


def parquet_table() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "t.csv").write_bytes(csv_table()["table.csv"])
        duckdb.sql(f"COPY (FROM read_csv('{folder}/t.csv')) TO '{folder}/t.parquet'")
        return {"table.parquet": (Path(folder) / "t.parquet").read_bytes()}


PARQUET = parquet_table()


def table(name: str) -> Callable[[Path], object]:
    spec = {"path": name, "label": "label", "id": "id", "features": ["a", "b", "c", "d"]}
    condition = [{"column": "when", "op": "<", "value": "2024-01-03"}]
    return lambda folder: data(folder, {"table": spec}, [4], forget={"where": condition})


def ids(name: str) -> Callable[[Path], object]:
    spec = {"path": "table.csv", "label": "label", "id": "id", "features": ["a", "b", "c", "d"]}
    return lambda folder: data(folder, {"table": spec}, [4], forget={"ids_file": {"path": name}})


WEIGHTS = {"layers.0.weight": np.ones((8, 4), np.float32), "layers.0.bias": np.ones(8, np.float32)}
METADATA = {"unlearn_cli.split": "train", "format": "pt"}


def safetensors() -> dict[str, bytes]:
    return {"model.safetensors": save(WEIGHTS, METADATA)}


def checkpoint(folder: Path) -> object:
    from unlearn_cli.checkpoints.checkpoint import load

    path = folder / "model.safetensors"
    digest = tensor_digest(read_header(path))
    loaded = load(path)
    assert loaded.tensor_digest == digest
    return loaded.describe()


def index() -> dict[str, bytes]:
    return {
        "model.safetensors.index.json": json.dumps({"weight_map": dict.fromkeys(WEIGHTS, "model.safetensors")}).encode()
    }


def state_dict() -> dict[str, bytes]:
    import torch

    buffer = io.BytesIO()
    torch.save({"weight": torch.ones(2, 3), "bias": torch.zeros(2)}, buffer)
    return {"model.pth": buffer.getvalue()}


def convert(folder: Path) -> object:
    from unlearn_cli.commands.convert import ConvertOptions, run
    from unlearn_cli.plugins.run_options import RunOptions

    result = run(ConvertOptions(folder / "model.pth", folder / "out.safetensors"), RunOptions())
    (folder / "out.safetensors").unlink()
    return result


def noise() -> dict[str, bytes]:
    facts = {"classes": "[1]", "kind": "maximize", "curve": "[0.5]", "settings": "{}"}
    return {"noise.safetensors": save({"samples": np.zeros((1, 2, 4), np.float32)}, facts)}


def load_noise(folder: Path) -> object:
    from unlearn_cli.learning.noise import load_noise

    return load_noise(folder / "noise.safetensors", (4,))


def cell() -> dict[str, bytes]:
    arrays = {name: np.zeros(5, np.float32) for name in ("after", "before", "retrain")}
    return {
        "shadows/cell-00000.safetensors": save({**arrays, "members": np.ones(5, bool), "canaries": np.zeros(5, bool)})
    }


def cells() -> dict[str, bytes]:
    (content,) = cell().values()
    return {f"shadows/cell-{number:05d}.safetensors": content for number in range(1, 9)}


PLAN = {"seed": 0, "method": "unsir", "canaries": 0.0}


def plan() -> dict[str, bytes]:
    return {"shadows/plan.json": json.dumps(PLAN).encode()}


def load_shadows(folder: Path) -> object:
    runs = shadows.load_runs(folder / "shadows", PLAN)
    return runs.of("subject"), runs.of("reference")


MANIFEST = {
    "version": 1, "task": "classification", "model": {"architecture": "mlp", "arguments": {"hidden": [8]}},
    "input": {"shape": [4], "scale": 16, "mean": [0.5, 0.1, 0.2, 0.3]}, "classes": ["a", "b"],
    "data": {"train": {"npz": {"path": "data.npz"}, "rows": {"every": 2}}, "transform": []},
    "forget": {"classes": ["a"], "where": [{"column": "when", "op": "in", "value": [1, 2]}]},
    "gates": ["forget.accuracy <= 0.1"],
}  # fmt: skip
DELETION = {
    "version": 1, "manifest": "data.yaml", "initial": "original", "methods": ["finetune"], "gates": [],
    "settings": {"finetune": {"epochs": 1}}, "attack": {"tier": None}, "deadline": {"months": 1},
    "common": {"device": "cpu"},
}  # fmt: skip
SETTINGS = {"impair_lr": 0.1, "impair_steps": 3}
REQUEST = {
    "request": "DSR-1",
    "received": "2026-11-20T09:30:00Z",
    "ids": ["a", 7],
    "groups": {"column": "who", "values": [1]},
}


def as_json(name: str, value: Any) -> Callable[[], dict[str, bytes]]:
    return lambda: {name: json.dumps(value).encode()}


def as_yaml(name: str, value: Any) -> Callable[[], dict[str, bytes]]:
    return lambda: {name: yaml.safe_dump(value).encode()}


def read_manifest(folder: Path) -> object:
    return manifest.read(folder / "m.yaml")


def read_deletion(folder: Path) -> object:
    return deletion.read(folder / "d.yaml")


def read_index(folder: Path) -> object:
    return read_header(folder / "model.safetensors.index.json")


def settings(folder: Path) -> object:
    return plugin.complete_settings(plugin.load("methods", "unsir"), folder / "settings.yaml", ())


def requests() -> dict[str, bytes]:
    time = b"2026-11-20T09:30:00Z"
    rows = (
        b"request,received,due,id,column,value,class",
        b"R1,%s,,7,,," % time,
        b"R1,,,,who,p1,",
        b"R2,%s,,,,,a" % time,
    )
    table = b"\n".join(rows) + b"\n"
    lines = b"".join(json.dumps({**REQUEST, "request": f"R{i}"}).encode() + b"\n" for i in range(3))
    return {"requests.csv": table, "requests.jsonl": lines, "requests.yaml": json.dumps(REQUEST).encode()}


def read_requests(folder: Path) -> object:
    found = [read_request_file(path, b"key") for path in sorted(folder.glob("requests.*"))]
    return json.dumps([[item.content.content if item.content else item.reason for item in items] for items in found])


def report() -> dict[str, bytes]:
    subject = {
        "role": "subject",
        "name": "model",
        "file_sha256": "0",
        "tensor_digest": "1",
        "parameters": 3,
        "lineage": {},
    }
    return {"report.json": json.dumps({
        "tool_version": "1", "command": "train", "seed": 0, "environment": {}, "subject": subject,
        "run": {"id": "1", "started": "x", "finished": "y", "seconds": {"train": 1.0}},
        "manifest": {"digest": "d", "task": "classification", "architecture": "mlp"},
    }).encode()}  # fmt: skip


def read_report(folder: Path) -> object:
    from unlearn_cli.batch.attempts import read_report
    from unlearn_cli.evaluation.training_cost import read_excerpt

    return read_excerpt(folder / "report.json"), read_report(folder)


def state() -> dict[str, bytes]:
    import torch

    from unlearn_cli.runtime import state

    with tempfile.TemporaryDirectory() as folder:
        state.save(Path(folder) / "state.safetensors", [torch.ones(3)], {"epoch": 1})
        return {"state.safetensors": (Path(folder) / "state.safetensors").read_bytes()}


def load_state(folder: Path) -> object:
    import torch

    from unlearn_cli.runtime import state

    path = folder / "state.safetensors"
    return state.is_intact(path) and state.load(path, [torch.zeros(3)])


def sidecar(folder: Path) -> object:
    (folder / "copy").write_bytes(b"x")
    found = remote._read_versions(folder / "copy")
    (folder / "copy").unlink()
    return found


def ledger() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with open_ledger(folder / "ledger.sqlite") as opened:
            opened.append("opened", version="v0000", checkpoint={"tensor_digest": "1", "file_sha256": "2"})
            opened.add_forgotten("R0001", ["ab" * 32])
        return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".sqlite", ".key")}


LEDGER = ledger()


def read_ledger(folder: Path) -> object:
    (folder / "ledger.key").chmod(0o600)
    with open_ledger(folder / "ledger.sqlite", create_missing=False) as opened:
        return opened.events(), opened.find_damage(), list(opened.forgotten_digests()), opened.count_forgotten()


READERS = {
    reader.name: reader
    for reader in (
        Reader("manifest", as_yaml("m.yaml", MANIFEST), read_manifest),
        Reader("manifest values", as_json("m.yaml", MANIFEST), read_manifest, (m.json_changed,) * 4),
        Reader("deletion.yaml", as_json("d.yaml", DELETION), read_deletion, (m.json_changed,) * 3),
        Reader("settings", as_json("settings.yaml", SETTINGS), settings, (m.json_changed,)),
        Reader("checkpoint", safetensors, checkpoint, (m.safetensors_changed,)),
        Reader("index", index, read_index, (m.json_changed,), safetensors),
        Reader("npz", npz, source_of(npz="data.npz"), (m.zip_changed, m.npy_header_changed)),
        Reader("safetensors data", lambda: {"data.safetensors": save({"x": X, "y": Y})},
               source_of(safetensors="data.safetensors"), (m.safetensors_changed,)),
        Reader("idx", idx_files, lambda f: data(f, {"idx": {"images": "images.idx", "labels": "labels.idx"}}, SHAPE)),
        Reader("idx.gz", lambda: {name: gzip.compress(one, mtime=0) for name, one in idx_files().items()},
               lambda f: data(f, {"idx": {"images": "images.idx", "labels": "labels.idx"}}, SHAPE), (m.gzip_changed,)),
        Reader("tar shard", shard, lambda f: data(f, {"webdataset": "shard.tar"}, [3, 4, 4]), (m.tar_changed,)),
        Reader("csv", csv_table, table("table.csv"), (m.csv_changed,)),
        Reader("jsonl", jsonl_table, table("table.jsonl"), (m.json_lines_changed,)),
        Reader("parquet", lambda: PARQUET, table("table.parquet")),
        Reader("png", images("png", "png"), pictures("png"), (m.png_changed,) * 2, second_class),
        Reader("jpeg", images("jpeg", "jpg"), pictures("jpg"), (), second_class),
        Reader("bmp", images("bmp", "bmp"), pictures("bmp"), (), second_class),
        Reader("tiff", images("tiff", "tif"), pictures("tif"), (), second_class),
        Reader("gif", images("gif", "gif"), pictures("gif"), (), second_class),
        Reader("webp", images("webp", "webp"), pictures("webp"), (), second_class),
        Reader("ids csv", lambda: {"ids.csv": b"id\nr1\nr2\n"}, ids("ids.csv"), (m.csv_changed,), csv_table),
        Reader("ids jsonl", lambda: {"ids.jsonl": b'{"id": "r1"}\n{"id": "r2"}\n'}, ids("ids.jsonl"),
               (m.json_lines_changed,), csv_table),
        Reader("requests", requests, read_requests),
        Reader("request values", as_json("requests.yaml", REQUEST), read_requests, (m.json_changed,) * 3),
        Reader("noise", noise, load_noise, (m.safetensors_changed,)),
        Reader("state dict (.pth)", state_dict, convert, (m.zip_changed,)),
        Reader("shadow run", cell, load_shadows, (m.safetensors_changed,), lambda: {**cells(), **plan()}),
        Reader("shadow plan", plan, load_shadows, (m.json_changed,), lambda: {**cell(), **cells()}),
        Reader("report.json", report, read_report, (m.json_changed,), allowed=(2, 6)),
        Reader("state of a run", state, load_state, (m.safetensors_changed,)),
        Reader("notes on a URL", as_json(".copy.json", {"": {"size": "1", "mtime": "2"}}), sidecar, (m.json_changed,)),
        Reader("ledger", lambda: {"ledger.sqlite": LEDGER["ledger.sqlite"]}, read_ledger,
               others=lambda: {"ledger.key": LEDGER["ledger.key"]}, allowed=(2, 6)),
    )
}  # fmt: skip
