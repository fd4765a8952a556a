"""Resolving requests: what is found is what a plain loop over the records finds, whatever the ids look like."""

import csv
import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from PIL import Image

from tests.data.test_webdataset import tar
from unlearn_cli.batch.resolve import source_connection
from unlearn_cli.batch.resolve.matching import format_hmac, hmac_parameters
from unlearn_cli.batch.resolve.resolution import Resolution, ResolvedRequest, resolve
from unlearn_cli.batch.resolve.source_connection import connect_to_source
from unlearn_cli.batch.settings.deletion import check_batch_manifest
from unlearn_cli.data.dataset import open_dataset, open_records
from unlearn_cli.errors import ResourceError, UserError
from unlearn_cli.schema.forget import Groups
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.sources import Condition

KEY = bytes(range(32))
PATH = Path("data.yaml")
AWKWARD = [
    "a,b", "a;b", "a|b", "a\tb", 'a"b', "a'b", "a\nb", "007", "7", "1.50", " lead", "true", "2026-01-02", "null", "NA",
    "#x", "'; DROP TABLE source; --", "x0", "%", "_", "\\", "Ünïcødé", "日本語", "😀", "e\u0301", "é", "A", "a",
]  # fmt: skip


@dataclass
class Asked:
    request: str = "one"
    ids: Sequence[str | int] = ()
    groups: Groups | None = None
    classes: Sequence[str | int] = ()
    where: Sequence[Condition] = ()


@dataclass
class Records:
    """What a plain loop looks at."""

    ids: list[str]
    label: list[str]
    person: list[str | None]
    age: list[int | None]
    forgotten: set[str] = field(default_factory=set)  # what the ledger knows

    def __len__(self) -> int:
        return len(self.ids)


def digests(folder: Path, ids: Sequence[str]) -> Path:
    path = folder / "digests.csv"
    lines = [hmac.new(KEY, one.encode(), "sha256").hexdigest() for one in ids]
    path.write_text("\n".join(["digest", *lines]) + "\n")
    return path


def described(train: dict[str, Any], **more: Any) -> Manifest:
    transform = more.pop("transform", [])
    return Manifest.model_validate({
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [1]},
        "data": {"train": train, "transform": transform}, **more,
    })  # fmt: skip


def resolved(manifest: Manifest, folder: Path, requests: Sequence[Asked], ids: Sequence[str] = (), **more: Any) -> Any:
    known = digests(folder, ids) if ids else None
    found = resolve(manifest, PATH, requests, folder, digests=known, key=KEY, **more)
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")], "the scratch folder is gone"
    return found


def listed(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row["id"] for row in csv.DictReader(file)]


# ---------------------------------------------------------------- sources


def write_csv(folder: Path, records: Records) -> dict[str, Any]:
    with (folder / "t.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)  # an unquoted cell loses its blanks
        writer.writerow(["record", "label", "person", "age", "x"])
        writer.writerows(zip(records.ids, records.label, records.person, records.age, range(len(records)), strict=True))
    return table(folder / "t.csv")


def write_jsonl(folder: Path, records: Records) -> dict[str, Any]:
    rows = zip(records.ids, records.label, records.person, records.age, range(len(records)), strict=True)
    lines = [json.dumps(dict(zip(("record", "label", "person", "age", "x"), row, strict=True))) for row in rows]
    (folder / "t.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table(folder / "t.jsonl")


def write_parquet(folder: Path, records: Records) -> dict[str, Any]:
    columns = [records.ids, records.label, records.person, records.age, list(range(len(records)))]
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (record VARCHAR, label VARCHAR, person VARCHAR, age INTEGER, x INTEGER)")
    connection.execute("INSERT INTO t SELECT unnest(?), unnest(?), unnest(?), unnest(?), unnest(?)", columns)
    connection.execute(f"COPY t TO '{folder / 't.parquet'}' (FORMAT parquet)")
    return table(folder / "t.parquet")


def write_npz(folder: Path, records: Records) -> dict[str, Any]:
    columns = {"person": [str(one) for one in records.person], "age": [-1 if a is None else a for a in records.age]}
    x = np.arange(len(records), dtype=np.float32)[:, None]
    np.savez(folder / "t.npz", x=x, y=records.label, ids=records.ids, **columns)
    return {"npz": {"path": str(folder / "t.npz"), "ids": "ids"}}


def table(path: Path) -> dict[str, Any]:
    return {"table": {"path": str(path), "label": "label", "id": "record", "features": ["x"]}}


WRITERS: dict[str, Callable[[Path, Records], dict[str, Any]]] = {
    "csv": write_csv, "jsonl": write_jsonl, "parquet": write_parquet, "npz": write_npz,
}  # fmt: skip


# ---------------------------------------------------------------- the oracle


def made_up(random: np.random.Generator, gaps: bool) -> Records:
    n = int(random.integers(5, 60))
    kind = random.integers(0, 3)
    ids = [AWKWARD[i % len(AWKWARD)] + ("" if i < len(AWKWARD) else f"-{i}") for i in range(n)]
    ids = [f"{i:05d}" for i in range(n)] if kind == 1 else [str(10**19 + i) for i in range(n)] if kind == 2 else ids
    gap = lambda values: [None if gaps and random.random() < 0.1 else one for one in values]  # noqa: E731
    person = gap([f"p{random.integers(0, 6)}" if kind else str(random.integers(0, 6)) for _ in range(n)])
    label = [("ant", "bee", "cat")[random.integers(0, 3)] for _ in range(n)]
    age = gap(random.integers(0, 9, n).tolist())
    forgotten = {ids[i] for i in random.permutation(n)[: random.integers(0, n)]} | {"purged-1", "purged-2"}
    return Records(ids, label, person, age, forgotten if random.random() < 0.8 else set())


def request(random: np.random.Generator, records: Records, name: str) -> Asked:
    some = [records.ids[i] for i in random.permutation(len(records))[: random.integers(1, 8)]]
    others = ["nobody", "purged-1", "purged-2", "x' OR '1'='1"]
    asked = Asked(name, ids=[*some, *others[: random.integers(0, 5)], some[0]])
    if random.random() < 0.5:
        known = [one for one in records.person if one is not None] or ["p0"]
        asked.groups = Groups(
            column="person", values=[*known[: random.integers(1, 3)], *["ghost"][: random.integers(0, 2)]]
        )
    if random.random() < 0.3:
        asked.classes = [("ant", "bee", "cat")[random.integers(0, 3)]]
    if random.random() < 0.3:
        asked.where = [Condition(column="age", op=">=", value=7), Condition(column="label", op="!=", value="ant")]
    return asked


def selected(records: Records, asked: Asked) -> set[str]:
    chosen = set()
    for one, label, person, age in zip(records.ids, records.label, records.person, records.age, strict=True):
        of_group = asked.groups and person is not None and person in map(str, asked.groups.values)
        holds = asked.where and age is not None and age >= 7 and label != "ant"
        if one in asked.ids or of_group or label in asked.classes or holds:
            chosen.add(one)
    return chosen


def expected(records: Records, asked: Asked) -> ResolvedRequest:
    chosen, absent = selected(records, asked), set(map(str, asked.ids)) - set(records.ids)
    ghosts = sorted(set(map(str, asked.groups.values)) - set(records.person)) if asked.groups else []
    unknown, known = sorted(absent - records.forgotten), records.forgotten
    return ResolvedRequest(
        asked.request, len(chosen - known), len(chosen & known), len(absent & known), len(unknown) + len(ghosts),
        tuple([*unknown, *(f"person = {one}" for one in ghosts)][:3]),
    )  # fmt: skip


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("seed", range(8))
def test_what_is_found_is_what_a_loop_over_the_records_finds(
    kind: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(seed)
    if seed % 4 == 0:
        monkeypatch.setattr(source_connection, "SMALL", 0)  # a database on disk, as for large tables
    records = made_up(random, gaps=kind != "npz")
    source = WRITERS[kind](tmp_path, records)
    requests = [request(random, records, f"r{number}") for number in range(random.integers(1, 5))]
    found = resolved(described(source), tmp_path, requests, sorted(records.forgotten))
    assert found.requests == tuple(expected(records, asked) for asked in requests)
    union = set().union(*(selected(records, asked) for asked in requests))
    assert listed(tmp_path / "forget.csv") == sorted(union - records.forgotten, key=str.encode)
    assert listed(tmp_path / "forgotten.csv") == sorted(set(records.ids) & records.forgotten, key=str.encode)
    assert (found.source, found.records, found.forgotten) == (
        len(records), len(union - records.forgotten), len(set(records.ids) & records.forgotten),
    )  # fmt: skip


def images(folder: Path) -> dict[str, Any]:
    for name in ("ant/a;1.png", "ant/a 2.png", "bée/b,'1\".png"):
        (folder / "train" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(folder / "train" / name)
    return {"imagefolder": str(folder / "train")}


def shards(folder: Path) -> dict[str, Any]:
    Image.new("L", (4, 4)).save(folder / "1.png")
    png = (folder / "1.png").read_bytes()
    (folder / "1.png").unlink()
    files = {f"{name}.{suffix}": content for name, label in (("ant/a;1", b"ant"), ("ant/a 2", b"ant"), ("b/é", b"bee"))
             for suffix, content in (("png", png), ("cls", label), ("json", b'{"person": "p1"}'))}  # fmt: skip
    return {"webdataset": str(tar(folder / "a.tar", files))}


@pytest.mark.parametrize(("write", "third"), [(images, "bée/b,'1\".png"), (shards, "b/é")])
def test_files_are_known_by_their_paths(write: Callable[[Path], dict[str, Any]], third: str, tmp_path: Path) -> None:
    manifest = described(write(tmp_path), input={"shape": [1, 4, 4]})
    ids = open_records(manifest.data.train, "train", manifest.data_sections).ids.tolist() if manifest.data else []
    requests = [Asked("x", ids=[third, "ant/none"]), Asked("y", classes=["ant"])]
    found = resolved(manifest, tmp_path, requests, [ids[0], "purged"])
    assert found.requests == (ResolvedRequest("x", 1, 0, 0, 1, ("ant/none",)), ResolvedRequest("y", 1, 1))
    assert listed(tmp_path / "forget.csv") == sorted(set(ids) - {ids[0]})
    assert listed(tmp_path / "forgotten.csv") == [ids[0]]


# ---------------------------------------------------------------- which rows of a table are records

WAYS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = {
    "all": ({}, [], {}),
    "every": ({}, [], {"every": 3}),
    "not every": ({}, [], {"not_every": 4}),
    "first": ({}, [], {"first": 0.35}),
    "last": ({}, [], {"last": 0.35}),
    "where": ({}, [], {"where": [{"column": "age", "op": "<", "value": 5}]}),
    "labelled": ({"unlabelled": "drop"}, [], {}),
    "windows": ({}, [{"window": {"length": 3, "ahead": 2, "every": 2}}], {}),
    "all at once": ({"unlabelled": "drop"}, [{"window": {"length": 2, "every": 3}}], {"first": 0.6}),
    "and others": ({"unlabelled": "drop"}, [{"window": {"length": 2, "every": 2}}], {"not_every": 3}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_records_of_a_table_are_those_that_are_trained_on(kind: str, way: str, tmp_path: Path) -> None:
    of_table, transform, rows = WAYS[way]
    random = np.random.default_rng(1)
    ids, age = [f"r{i}" for i in range(40)], random.integers(0, 9, 40).tolist()
    label: list[Any] = [None if of_table and random.random() < 0.3 else "ant" for _ in ids]
    source = WRITERS[kind](tmp_path, Records(ids, label, ["p"] * 40, age))
    source["table"] |= of_table
    shape = [transform[0]["window"]["length"], 1] if transform else [1]
    train = {**source, **({"rows": rows} if rows else {})}
    manifest = described(train, transform=transform, input={"shape": shape}, classes=["ant", "bee"])
    resolved(manifest, tmp_path, [Asked(groups=Groups(column="person", values=["p"]))])
    assert manifest.data is not None
    assert sorted(listed(tmp_path / "forget.csv")) == sorted(
        open_records(manifest.data.train, "train", manifest.data_sections).ids.tolist()
    )


def test_a_column_may_be_asked_for_as_text_and_as_a_number(tmp_path: Path) -> None:
    for kind, text in (
        ("csv", "id,y,n\n1,0,07\n2,1,7\n3,0,8\n"),
        ("jsonl", '{"id":1,"y":0,"n":6}\n{"id":2,"y":1,"n":7}\n'),
    ):
        (tmp_path / f"t.{kind}").write_text(text)
        source = {"table": {"path": str(tmp_path / f"t.{kind}"), "label": "y", "id": "id"}}
        requests = [
            Asked("text", groups=Groups(column="n", values=["7"])),
            Asked("number", where=[Condition(column="n", op="==", value=7)]),
            Asked("order", where=[Condition(column="n", op="<=", value=7)]),
            Asked("id", where=[Condition(column="id", op=">", value=2)]), Asked("class", classes=[1]),
            Asked("label", groups=Groups(column="label", values=[1])),
        ]  # fmt: skip
        found = resolved(described(source), tmp_path, requests).requests
        assert [one.records for one in found] == ([1, 1, 2, 1, 1, 1] if kind == "csv" else [1, 1, 2, 0, 1, 1])


def test_what_stands_for_an_empty_cell_is_no_value(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,y,age\na,0,NA\nb,1,5\nc,1,\n")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "id", "missing": ["NA"]}}
    where = [Condition(column="age", op="!=", value=9)]
    found = resolved(
        described(source), tmp_path, [Asked(where=where), Asked(groups=Groups(column="age", values=["NA"]))]
    )
    assert [(one.records, one.unknown) for one in found.requests] == [(1, 0), (0, 1)]


@pytest.mark.parametrize(("listed_classes", "wanted", "count"), [
    (None, [1], 2), (None, ["1"], 2), ([1, 2, 3], [1], 2), (["one", "two", "three", "four"], ["two"], 2),
    (["one", "two", "three", "four"], [3], 1),
])  # fmt: skip
def test_classes_are_looked_up_as_in_a_manifest(
    listed_classes: list[Any] | None, wanted: list[Any], count: int, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text("id,y,x\na,1,0\nb,1,5\nc,2,5\nd,3,2\n")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "id"}}
    manifest = described(source, **({"classes": listed_classes} if listed_classes else {}))
    assert resolved(manifest, tmp_path, [Asked(classes=wanted)]).requests == (ResolvedRequest("one", count),)


# ---------------------------------------------------------------- ids of any look, and of hostile looks


@pytest.mark.parametrize("kind", WRITERS)
def test_the_lists_of_ids_are_read_by_a_manifest_whatever_the_ids_look_like(kind: str, tmp_path: Path) -> None:
    records = Records(AWKWARD, ["ant", "bee"] * (len(AWKWARD) // 2), ["p"] * len(AWKWARD), [1] * len(AWKWARD))
    source = WRITERS[kind](tmp_path, records)
    for chosen, forgotten in ((AWKWARD[::2], AWKWARD[1::4]), (AWKWARD[1:2], AWKWARD[2:3]), (AWKWARD[7:10], ["true"])):
        found = resolved(described(source), tmp_path, [Asked(ids=chosen)], forgotten)
        assert found.requests == (ResolvedRequest("one", len(chosen)),)
        sections = {
            "forget": {"ids_file": {"path": str(tmp_path / "forget.csv")}},
            "forgotten": {"ids_file": {"path": str(tmp_path / "forgotten.csv")}},
        }
        dataset = open_dataset(described(source, **sections).data_sections)
        assert dataset.split("forget").ids == sorted(chosen)
        assert dataset.split("forgotten").ids == sorted(forgotten)


def test_what_looks_like_sql_is_a_value_or_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "a'; DROP TABLE source; --"
    folder.mkdir()
    records = Records(["a", "b", "c"], ["ant", "bee", "ant"], ["p", "q", "p"], [1, 2, 3])
    manifest = described(write_parquet(tmp_path, records))
    outside = tmp_path / "stolen.csv"
    attempts = [
        Asked("1", ids=["' OR 1=1 --", "x'); COPY source TO 'stolen.csv'; --", f"{tmp_path}/t.parquet"]),
        Asked("2", groups=Groups(column="person\" = 'p' OR 1=1 --", values=["p"])),
        Asked("3", groups=Groups(column="person", values=["p' OR '1'='1"])),
        Asked("4", classes=["ant' OR 1=1 --"]),
        Asked("5", where=[Condition(column='age") OR 1=1 --', op=">", value=0)]),
        Asked("6", where=[Condition(column="label", op="==", value=f"x'; COPY source TO '{outside}'; --")]),
        Asked("7", where=[Condition(column="label", op="in", value=["read_text('/etc/passwd')"])]),
        Asked("8", groups=Groups(column="rowid", values=["0"])),
        Asked("9", where=[Condition(column="x0", op="==", value="a")]),
        Asked("good", ids=["b"]),
    ]
    found: Resolution = resolved(manifest, folder, attempts, ["z"])
    assert [one.records for one in found.requests] == [0] * 9 + [1]
    assert [bool(one.problem) for one in found.requests] == [
        False,
        True,
        False,
        True,
        True,
        False,
        False,
        True,
        True,
        False,
    ]
    assert listed(folder / "forget.csv") == ["b"]
    assert not outside.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["digests.csv", "forget.csv", "forgotten.csv"]


def test_the_connection_sees_the_source_and_its_own_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "other.csv").write_text("secret\n1\n")
    manifest = described(write_csv(tmp_path, Records(["a"], ["ant"], ["p"], [1])))
    with connect_to_source(manifest, tmp_path / "run", None) as connection:
        assert connection.execute(f"SELECT count(*) FROM '{tmp_path}/t.csv'").fetchall() == [(1,)]
        for command in (
            f"SELECT * FROM '{tmp_path}/other.csv'", "SELECT * FROM read_text('/etc/passwd')", "INSTALL httpfs",
            f"COPY (SELECT 1) TO '{tmp_path}/out.csv'", f"ATTACH '{tmp_path}/x.db'",
            "SET enable_external_access = true", f"SET allowed_directories = ['{tmp_path}']",
            f"COPY (SELECT 1) TO '{tmp_path}/run/../out.csv'",
        ):  # fmt: skip
            with pytest.raises(duckdb.Error):
                connection.execute(command)
    assert not (tmp_path / "out.csv").exists()
    assert [*(tmp_path / "run").iterdir()] == []


@pytest.mark.parametrize("length", [0, 1, 32, 64, 65, 200])
def test_keyed_hashes_in_the_database_are_those_of_hmac(length: int) -> None:
    random = np.random.default_rng(length)
    key = random.bytes(length)
    texts = [*AWKWARD, "", "x" * 1000, *("".join(map(chr, random.integers(1, 0xD7FF, 20))) for _ in range(200))]
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT unnest(?) AS x0", [texts])
    found = connection.execute(f"SELECT x0, {format_hmac('x0')} FROM t", hmac_parameters(key)).fetchall()
    assert len(found) == len(texts)
    for text, digest in found:
        assert digest == hmac.digest(key, text.encode(), "sha256")


# ---------------------------------------------------------------- what is refused, and what is told


@pytest.mark.parametrize(
    "train",
    [
        {"table": {"path": "t.csv", "label": "y"}}, {"npz": "t.npz"}, {"safetensors": "t.safetensors"},
        {"idx": {"images": "i", "labels": "l"}}, {"sklearn": "digits"},
        {"torchvision": {"name": "MNIST", "root": "r", "part": "train"}},
    ],
)  # fmt: skip
def test_row_numbers_are_no_ids(train: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"data\.yaml: data\.train: its records have row numbers as ids, which change"):
        check_batch_manifest(described(train), PATH)


def test_a_manifest_without_data_or_with_requests_of_its_own_is_refused() -> None:
    plain: dict[str, Any] = {"version": 1, "task": "classification", "model": {"architecture": "mlp"}}
    with pytest.raises(UserError, match="has no 'data' section"):
        check_batch_manifest(Manifest.model_validate({**plain, "input": {"shape": [1]}}), PATH)
    named = {"table": {"path": "t.csv", "label": "y", "id": "id"}}
    check_batch_manifest(described(named), PATH)
    for section in ({"forget": {"classes": [1]}}, {"forgotten": {"ids_file": {"path": "x.csv"}}}):
        with pytest.raises(UserError, match=f"has a '{min(section)}' section"):
            check_batch_manifest(described(named, **section), PATH)


@pytest.mark.parametrize("kind", WRITERS)
def test_ids_that_are_there_twice_or_empty_are_refused(kind: str, tmp_path: Path) -> None:
    records = Records(["a", "b", "a", "c", "b"], ["ant"] * 5, ["p"] * 5, [1] * 5)
    with pytest.raises(UserError, match="the ids are not unique: 2 of them name several records"):
        resolve(described(WRITERS[kind](tmp_path, records)), PATH, [Asked(ids=["c"])], tmp_path)
    records.ids = ["a", "", "b", "c", "d"]
    with pytest.raises(UserError, match=r"data\.yaml: data\.train: 1 record has an empty id"):
        resolve(described(WRITERS[kind](tmp_path, records)), PATH, [Asked(ids=["c"])], tmp_path)
    assert not (tmp_path / "forget.csv").exists()


def test_a_request_that_cannot_be_resolved_says_why_and_does_not_stop_the_others(tmp_path: Path) -> None:
    records = Records(["a", "b", "c"], ["ant", "bee", "ant"], ["p", "q", "p"], [1, 2, 3])
    bad = [
        (Asked(ids=["a"], groups=Groups(column="persn", values=["p"])), "no column 'persn'; did you mean 'person'"),
        (Asked(ids=["a"], classes=["wasp"]), "classes: no class 'wasp'"),
        (Asked(ids=["a"], where=[Condition(column="agee", op=">", value=1)]), "no column 'agee'"),
        (Asked(ids=["a"], where=[Condition(column="age", op=">", value="jane@example.org")]), "contains numbers"),
        (Asked(ids=["a"], where=[Condition(column="person", op=">", value=3)]), "column 'person' contains text such"),
    ]  # fmt: skip
    for kind in ("csv", "jsonl", "parquet"):
        manifest = described(WRITERS[kind](tmp_path, records))
        found = resolved(manifest, tmp_path, [*(asked for asked, _ in bad), Asked("good", ids=["b"])])
        for one, (_, message) in zip(found.requests, bad, strict=False):
            assert message in (one.problem or "")
            assert "jane" not in (one.problem or "")
            assert one == ResolvedRequest("one", problem=one.problem)
        assert found.requests[-1] == ResolvedRequest("good", 1)
        assert listed(tmp_path / "forget.csv") == ["b"]


def test_arrays_refuse_conditions_that_they_cannot_compare(tmp_path: Path) -> None:
    manifest = described(write_npz(tmp_path, Records(["a", "b"], ["ant", "bee"], ["p", "q"], [1, 2])))
    where = [Condition(column="age", op=">", value="x")]
    found = resolved(manifest, tmp_path, [Asked(where=where), Asked(groups=Groups(column="nobody", values=["p"]))])
    assert "contains numbers; compare it with numbers" in found.requests[0].problem
    assert "no column 'nobody'" in found.requests[1].problem


def test_a_regression_has_no_classes_to_forget(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,y,x\na,1.5,0\nb,2.5,5\n")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "id": "id"}}
    manifest = described(source, task="regression")
    found = resolved(
        manifest, tmp_path, [Asked(classes=[1]), Asked("two", where=[Condition(column="y", op=">", value=2)])]
    )
    assert "a regression has no classes" in found.requests[0].problem
    assert found.requests[1] == ResolvedRequest("two", 1)


def test_requests_select_multilabel_records(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,tags,x,person\na,cat|dog,0,p\nb,,5,q\nc,dog,7,q\n")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "tags", "id": "id", "features": ["x"]}}
    requests = [
        Asked(classes=["dog"]),
        Asked("several", classes=["cat", "dog"], ids=["b"]),
        Asked("two", ids=["b"]),
        Asked("three", where=[Condition(column="x", op=">", value=2)]),
        Asked("four", groups=Groups(column="person", values=["q"])),
    ]
    resolution = resolved(described(source, task="multilabel"), tmp_path, requests)
    assert [request.records for request in resolution.requests] == [2, 3, 1, 2, 2]
    unknown = resolved(described(source, task="multilabel"), tmp_path, [Asked(classes=["dogs"])])
    assert "no class 'dogs'" in unknown.requests[0].problem
    assert "did you mean 'dog'" in unknown.requests[0].problem


def test_requests_with_something_unknown_can_be_left_out(tmp_path: Path) -> None:
    records = Records(["a", "b", "c"], ["ant", "bee", "ant"], ["p", "q", "p"], [1, 2, 3])
    manifest = described(write_csv(tmp_path, records))
    requests = [Asked("1", ids=["a", "nobody"]), Asked("2", ids=["b", "purged"])]
    found = resolved(manifest, tmp_path, requests, ["purged"], unknown_ids="set_aside")
    assert found.requests == (
        ResolvedRequest("1", 1, unknown=1, examples=("nobody",)),
        ResolvedRequest("2", 1, purged=1),
    )
    assert listed(tmp_path / "forget.csv") == ["b"]
    assert found.records == 1
    resolved(manifest, tmp_path, requests, ["purged"])
    assert listed(tmp_path / "forget.csv") == ["a", "b"]


def test_requests_for_what_is_forgotten_or_purged_leave_nothing_to_do(tmp_path: Path) -> None:
    manifest = described(write_csv(tmp_path, Records(["a", "b"], ["ant", "bee"], ["p", "q"], [1, 2])))
    found = resolved(manifest, tmp_path, [Asked(ids=["a", "purged"])], ["a", "purged"])
    assert found.requests == (ResolvedRequest("one", already=1, purged=1),)
    assert (found.records, listed(tmp_path / "forget.csv"), listed(tmp_path / "forgotten.csv")) == (0, [], ["a"])
    empty = resolved(manifest, tmp_path, [])
    assert (empty.source, empty.records, empty.forgotten, empty.requests) == (2, 0, 0, ())


@pytest.mark.parametrize("text", ["id\nabc\n", "digest\nxyz\n", "digest\nabcd\n", "digest,more\n" + "0" * 64 + ",1\n"])
def test_what_is_no_list_of_keyed_hashes_is_refused(text: str, tmp_path: Path) -> None:
    manifest = described(write_csv(tmp_path, Records(["a", "b"], ["ant", "bee"], ["p", "q"], [1, 2])))
    (tmp_path / "digests.csv").write_text(text)
    with pytest.raises(UserError, match="is not a list of keyed hashes"):
        resolve(manifest, PATH, [Asked(ids=["a"])], tmp_path, digests=tmp_path / "digests.csv", key=KEY)


def test_an_empty_list_of_keyed_hashes_is_one(tmp_path: Path) -> None:
    manifest = described(write_csv(tmp_path, Records(["a", "b"], ["ant", "bee"], ["p", "q"], [1, 2])))
    (tmp_path / "digests.csv").write_text("digest\n")
    found = resolve(manifest, PATH, [Asked(ids=["a"])], tmp_path, digests=tmp_path / "digests.csv", key=KEY)
    assert (found.records, found.forgotten) == (1, 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"), ('{"y": 1}\n', "no column 'id'"),
        ('{"id": 1, "y": 1}\n' * 3000 + '{"id": 1, ', "t.jsonl:3001: .*fix the line"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_read_is_told(text: str | None, message: str, tmp_path: Path) -> None:
    if text:
        (tmp_path / "t.jsonl").write_text(text)
    source = {"table": {"path": str(tmp_path / "t.jsonl"), "label": "y", "id": "id"}}
    with pytest.raises(UserError, match=message):
        resolve(described(source), PATH, [Asked(ids=["a"])], tmp_path)


def test_too_little_memory_is_no_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = described(write_csv(tmp_path, Records(["a", "b"], ["ant", "bee"], ["p", "q"], [1, 2])))
    monkeypatch.setattr(source_connection, "MEMORY", "10KiB")
    with pytest.raises(ResourceError, match="not enough memory or disk space"):
        resolve(manifest, PATH, [Asked(ids=["a"])], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


@pytest.mark.parametrize("kind", WRITERS)
def test_an_unknown_id_or_person_is_shown_with_the_one_that_is_written_almost_so(kind: str, tmp_path: Path) -> None:
    records = Records(["7", "Ab", "e\u0301", "x"], ["ant", "bee", "ant", "bee"], ["1", "2", "03", "2"], [1, 2, 3, 4])
    groups = Groups(column="person", values=["3"])
    asked = Asked(ids=["007", "aB", "\u00e9", "y"], groups=groups)
    found = resolved(described(WRITERS[kind](tmp_path, records)), tmp_path, [asked]).requests[0]
    assert (found.records, found.unknown) == (0, 5)
    assert found.examples == ("007 (did you mean '7'?)", "aB (did you mean 'Ab'?)", "y")
    asked = Asked(ids=["\u00e9"], groups=groups)
    found = resolved(described(WRITERS[kind](tmp_path, records)), tmp_path, [asked]).requests[0]
    assert found.examples == ("\u00e9 (did you mean 'e\u0301'?)", "person = 3 (did you mean '03'?)")


def test_requests_may_name_a_class_by_position_or_name_and_the_run_lists_names(tmp_path: Path) -> None:
    records = Records(["a", "b", "c"], ["ant", "bee", "cat"], ["1", "2", "3"], [1, 2, 3])
    manifest = described(WRITERS["csv"](tmp_path, records))
    requests = [Asked("x", classes=[1]), Asked("y", classes=["bee"]), Asked("z", classes=["ant", 1])]
    found = resolved(manifest, tmp_path, requests)
    assert found.classes == {"x": ["bee"], "y": ["bee"]}
    assert [one.records for one in found.requests] == [1, 1, 0]
    assert "'ant' is a name, but 1 is the position of 'bee'; list only names" in str(found.requests[2].problem)


def test_a_class_of_digits_is_the_one_that_is_written_so(tmp_path: Path) -> None:
    for i, folder in enumerate(("01", "02", "03", "10")):
        (tmp_path / "images" / folder).mkdir(parents=True)
        Image.new("L", (2, 2), i).save(tmp_path / "images" / folder / "a.png")
    manifest = described({"imagefolder": str(tmp_path / "images")}, input={"shape": [1, 2, 2]})
    requests = [Asked("x", classes=["02"]), Asked("y", classes=[2]), Asked("z", classes=[10])]
    found = resolved(manifest, tmp_path, requests)
    assert found.classes == {"x": ["02"], "z": ["10"]}
    assert "no class '2'; did you mean '02'?" in str(found.requests[1].problem)
