"""Whatever a name looks like, it selects the records whose text is the same, and otherwise it is refused.

The oracle is a comparison of texts: what stands in the file of records with what stands in the manifest or request.
"""

import csv
import json
import re
from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.data.test_webdataset import tar
from unlearn_cli.batch.requests.deletion_request import Request
from unlearn_cli.batch.requests.request_files import read_request_file
from unlearn_cli.batch.resolve.resolution import resolve
from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.data.selection import select
from unlearn_cli.errors import UserError
from unlearn_cli.schema import strict_yaml
from unlearn_cli.schema.forget import Forget
from unlearn_cli.schema.manifest import read

COPIES = 2  # records of each name; they differ in the sample
KEY = bytes(range(32))
FAMILIES = {  # what the file of records holds, and what else is asked for
    "padded": (["01", "02", "03", "10"], ["1", "2", "3", "0x2", "2.0", "+2", "002"]),
    "padded and not": (["7", "007", "07", "70"], ["0007", "7.0", "0x7"]),
    "whole": (["0", "1", "2", "12"], ["02", "2.0", "0x2", "+2", "2e0", "-2", "3", "-0"]),
    "hexadecimal": (["0x1f", "0x20", "0x1F"], ["31", "32", "0x21"]),
    "octal": (["0o17", "0o20"], ["15", "017", "16"]),
    "exponents": (["1e5", "2e5", "3e1"], ["100000", "1E5", "30", "30.0", "1e+5"]),
    "short hashes": (["12e45678", "45e67890", "1e999"], ["45", ".inf", "12e45679"]),
    "hashes": (["12e45678", "deadbeef", "00000000"], ["0", "12E45678"]),
    "truth": (["true", "false"], ["True", "FALSE", "yes", "t"]),
    "yes and no": (["yes", "no"], ["true", "Yes", "NO", "y"]),
    "on and off": (["on", "off"], ["true", "ON"]),
    "underscores": (["1_000", "2_000"], ["1000", "2000"]),
    "signs": (["+7", "-7", "+8"], ["7", "8", "-8"]),
    "numbers with points": ([".5", "0.5", "5.", "5.0"], ["5", ".50", "00.5"]),
    "versions": (["1.10", "1.1", "1.2"], ["1.100", "1.20"]),
    "dates": (["2026-11-20", "2026-11-21"], ["2026-11-2", "20261120"]),
    "other dates": (["05-01-2020", "06-01-2020"], ["2020-01-05", "5-1-2020"]),
    "times": (["12:30", "12:31:00"], ["12:30:00"]),
    "long": (["12345678901234567890", "12345678901234567891"], ["12345678901234567892"]),
    "nothing": (["null", "NULL", "nan", "NaN", "inf", "None", "NA"], ["none", ".nan", ".inf"]),
    "letters": (["cafe\u0301", "caf\u00e9", "Cafe", "cafe"], ["CAFE"]),
    "blanks": (["a b", "a  b", "ab"], ["a   b", "A B"]),
    "yaml": (["a: b", "[a]", "#a", "*a", "!a", "- a", "%a", "@a", "a'b", 'a"b', "\\n"], ["a"]),
}  # fmt: skip
FILES = {"labels and codes": ("label", "code"), "ids": ("rid",)}  # the columns that hold the names; ids are unique
UNQUOTABLE = {"null", "NULL", "a: b", "[a]", "#a", "*a", "!a", "- a", "%a", "@a"}  # in YAML these are not names


def cells(family: str) -> list[str]:
    return [name for name in FAMILIES[family][0] for _ in range(COPIES)]


def write_table(folder: Path, places: Collection[str], names: list[str], kind: str) -> str:
    n = len(names)
    columns = {"rid": [f"row-{i}" for i in range(n)], "label": [("ant", "bee")[i % 2] for i in range(n)]}
    columns |= {"person": ["p"] * n, **dict.fromkeys(places, names), "x": [str(i + 0.5) for i in range(n)]}
    rows = [*zip(*columns.values(), strict=True)]
    path = folder / f"t.{kind}"
    if kind == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([[*columns], *rows])
    else:
        fitted = [{**dict(zip(columns, row, strict=True)), "x": float(row[-1])} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in fitted), encoding="utf-8")
    ignored = [name for name in columns if name not in ("label", "rid", "x")]
    return f"{{table: {{path: {path.name}, label: label, id: rid, ignore: {json.dumps(ignored)}}}}}"


def write_npz(folder: Path, places: Collection[str], names: list[str]) -> str:
    n = len(names)
    columns: dict[str, Any] = {
        "rid": np.array([f"row-{i}" for i in range(n)]),
        "label": np.array(["ant", "bee"] * n)[:n],
    }
    columns |= dict.fromkeys(places, np.array(names))
    np.savez(folder / "t.npz", x=np.arange(n, dtype=np.float32)[:, None], **columns)
    return "{npz: {path: t.npz, labels: label, ids: rid}}"


def write_tar(folder: Path, places: Collection[str], names: list[str]) -> str:
    files: dict[str, bytes] = {}
    for i, name in enumerate(names):
        Image.new("L", (2, 2), i).save(folder / "image.png")
        key = name if "rid" in places else f"row-{i}"
        label = name if "label" in places else ("ant", "bee")[i % 2]
        facts = {"code": name} if "code" in places else {}
        files |= {f"{key}.png": (folder / "image.png").read_bytes(), f"{key}.cls": label.encode()}
        files |= {f"{key}.json": json.dumps(facts).encode()}
    tar(folder / "t.tar", files)
    return "{webdataset: t.tar}"


def write_folder(folder: Path, places: Collection[str], names: list[str]) -> str:
    for i, name in enumerate(names):
        (folder / "t" / name).mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), i).save(folder / "t" / name / f"{i:03}.png")
    return "{imagefolder: t}"


FORMATS: dict[str, Callable[[Path, Collection[str], list[str]], str]] = {
    "csv": lambda folder, places, names: write_table(folder, places, names, "csv"),
    "jsonl": lambda folder, places, names: write_table(folder, places, names, "jsonl"),
    "npz": write_npz, "webdataset": write_tar, "imagefolder": write_folder,
}  # fmt: skip
PLACES = {
    "label": "classes: [{}]", "rid": "ids: [{}]", "code": "groups: {{column: code, values: [{}]}}",
    "==": "where: [{{column: code, op: ==, value: {}}}]", "in": "where: [{{column: code, op: in, value: [{}]}}]",
}  # fmt: skip


def asked_for(family: str) -> list[tuple[str, str]]:
    """Return what stands in the YAML, and the name that it is."""
    names, others = FAMILIES[family]
    quoted = [(json.dumps(name, ensure_ascii=False), name) for name in [*names, *others]]
    return quoted + [(name, name) for name in [*names, *others] if name not in UNQUOTABLE]


NUMBER = re.compile(r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def is_number(text: str) -> bool:
    """Say whether a text is a decimal number without leading zeros, which float64 can hold."""
    return NUMBER.fullmatch(text) is not None and np.isfinite(float(text))


def equal_rows(stored: list[str], text: str, *, quoted: bool, untyped: bool) -> list[int]:
    """Return the rows of the cells that a condition means: a number, if it and all cells of a csv are numbers."""
    if untyped and not quoted and all(map(is_number, [text, *stored])):
        return [row for row, cell in enumerate(stored) if Decimal(cell) == Decimal(text)]
    return [row for row, cell in enumerate(stored) if cell == text]


def described(folder: Path, source: str, more: str) -> Path:
    shape = "[1]" if "table" in source or "npz" in source else "[1, 2, 2]"
    model = "{architecture: mlp}" if shape == "[1]" else "{architecture: lenet5}"
    path = folder / "data.yaml"
    text = f"version: 1\ntask: classification\nmodel: {model}\ninput: {{shape: {shape}}}\n"
    path.write_text(f"{text}data: {{train: {source}}}\n{more}", encoding="utf-8")
    return path


@cache
def parsed(forget: str) -> Any:
    """Return the section `forget` of a manifest as it is read, once for all formats of records."""
    return strict_yaml.parse(f"{{{forget}}}", Path("data.yaml")).raw


def selected(forget: str, dataset: Dataset, folder: Path) -> list[int] | None:
    """Return the rows that are forgotten; None if the selection is refused."""
    train = dataset.split("train")
    try:
        wanted = Forget.model_validate(parsed(forget))
        selection = select(wanted, train.records, train.labels, dataset.classes or [], folder)
        return np.flatnonzero(selection.mask).tolist()
    except UserError as error:
        assert "\n" not in str(error)
        return None


def places_of(columns: Collection[str], places: Iterable[str]) -> list[str]:
    """Return the places in a selection that name a cell of these columns: a label, an id, or any other column."""
    return [place for place in places if (place if place in ("label", "rid") else "code") in columns]


@pytest.mark.parametrize("columns", FILES.values(), ids=FILES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", FORMATS)
def test_a_name_in_a_manifest_selects_what_is_written_so(
    kind: str, family: str, columns: tuple[str, ...], tmp_path: Path
) -> None:
    if kind == "imagefolder":
        columns = tuple(column for column in columns if column == "label")  # it has neither other columns nor ids
    if not columns:
        pytest.skip("an image folder has no ids of its own")
    if kind == "imagefolder" and any(name.startswith(".") for name in FAMILIES[family][0]):
        pytest.skip("hidden folders are left out")
    if kind == "webdataset" and "rid" in columns and any("." in name for name in FAMILIES[family][0]):
        pytest.skip("a key ends at the first dot")
    stored = FAMILIES[family][0] if "rid" in columns else cells(family)
    source = FORMATS[kind](tmp_path, columns, stored)
    stored = sorted(stored) if kind == "imagefolder" else stored
    dataset = open_dataset(read(described(tmp_path, source, "")).data_sections)
    for place in places_of(columns, PLACES):
        untyped = kind == "csv" and place in ("==", "in")
        for text, name in asked_for(family):
            expected = equal_rows(stored, name, quoted=text != name, untyped=untyped)
            assert selected(PLACES[place].format(text), dataset, tmp_path) == (expected or None), (place, text)


REQUESTS = {  # in JSON; YAML is the same without the outer braces
    "label": '"classes": [{}]', "rid": '"ids": [{}]', "code": '"groups": {{"column": "code", "values": [{}]}}',
    "==": '"where": [{{"column": "code", "op": "==", "value": {}}}]',
}  # fmt: skip
CELLS = {"label": {"class": "{}"}, "rid": {"id": "{}"}, "code": {"column": "code", "value": "{}"}}
HEAD = {"request": "A", "received": "2026-11-20T09:30:00Z"}
JSON_SCALAR = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?|true|false", re.ASCII)


def request_files(folder: Path, place: str, text: str, name: str) -> list[Path]:
    """Write one request in each format that can hold what is written."""
    head = ", ".join(f'"{key}": "{value}"' for key, value in HEAD.items())
    (folder / "a.yaml").write_text(f"{{{head}, {REQUESTS[place].format(text)}}}\n", encoding="utf-8")
    paths = [folder / "a.yaml"]
    if text != name or JSON_SCALAR.fullmatch(text):
        (folder / "a.jsonl").write_text(f"{{{head}, {REQUESTS[place].format(text)}}}\n", encoding="utf-8")
        paths.append(folder / "a.jsonl")
    if place in CELLS and text == name:
        row = {**HEAD, **{column: cell.format(name) for column, cell in CELLS[place].items()}}
        with (folder / "a.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([[*row], [*row.values()]])
        paths.append(folder / "a.csv")
    return paths


@pytest.fixture(scope="module")
def read_requests(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str, str], list[tuple[str, Request]]]:
    """Read one request from a file of each format, once for all formats of records; return the files' names, too."""
    folder = tmp_path_factory.mktemp("requests")

    @cache
    def read_files(place: str, text: str, name: str) -> list[tuple[str, Request]]:
        requests = []
        for path in request_files(folder, place, text, name):
            (item,) = read_request_file(path, KEY)
            assert item.content is not None, (text, item.reason)
            requests.append((path.name, item.content))
        return requests

    return read_files


@pytest.mark.parametrize("columns", FILES.values(), ids=FILES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "npz"])
def test_a_name_in_a_request_selects_what_is_written_so(
    kind: str,
    family: str,
    columns: tuple[str, ...],
    read_requests: Callable[[str, str, str], list[tuple[str, Request]]],
    tmp_path: Path,
) -> None:
    stored = FAMILIES[family][0] if "rid" in columns else cells(family)
    manifest = read(described(tmp_path, FORMATS[kind](tmp_path, columns, stored), ""))
    requests: list[Request] = []
    expected: list[int] = []
    for place, (number, (text, name)) in product(places_of(columns, REQUESTS), enumerate(asked_for(family))):
        for file, content in read_requests(place, text, name):
            requests.append(content.model_copy(update={"request": f"{place}-{number}-{file}"}))
            untyped = kind == "csv" and place == "=="
            expected.append(len(equal_rows(stored, name, quoted=text != name, untyped=untyped)))
    found = resolve(manifest, tmp_path / "data.yaml", requests, tmp_path, key=KEY).requests
    assert {one.request: one.records for one in found} == {
        request.request: count for request, count in zip(requests, expected, strict=True)
    }
