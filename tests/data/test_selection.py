"""What is forgotten: every way to name records, their union, and the splits that follow from it."""

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from unlearn_cli.commands.manifest_inputs import open_data
from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.data.labels import find_class_numbers, find_label_numbers
from unlearn_cli.data.tables.ids_file import read_ids
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.run_inputs import count_duplicates, find_copies
from unlearn_cli.plugins.run_options import RunOptions
from unlearn_cli.schema import strict_yaml
from unlearn_cli.schema.manifest import Manifest

N = 40
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N, 2)).astype(np.float32)
CLASS = np.arange(N) % 4
ANIMAL = np.array(["ant", "bee", "cat", "dog"])[CLASS]
AGE = RANDOM.integers(18, 60, N)
HEIGHT = RANDOM.normal(1.7, 0.1, N).round(2)
CITY = np.array(["Oslo", "Århus", "oslo", "Zürich", "Ōsaka"])[RANDOM.integers(0, 5, N)]
PERSON = np.arange(N) // 3
ID = np.array([f"rec-{i:03}" for i in range(N)])


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The same records as arrays and as tables."""
    folder = tmp_path_factory.mktemp("records")
    columns = {"age": AGE, "height": HEIGHT, "city": CITY, "person": PERSON, "id": ID}
    np.savez(folder / "data.npz", x=X, y=ANIMAL, number=CLASS, one=CLASS + 1, **columns)
    columns |= {"y": ANIMAL, "x0": X[:, 0], "x1": X[:, 1]}
    rows = zip(*(array.tolist() for array in columns.values()), strict=True)
    text = [",".join(columns), *(",".join(str(cell) for cell in row) for row in rows)]
    (folder / "data.csv").write_text("\n".join(text) + "\n", encoding="utf-8")
    table = f"SELECT * FROM read_csv('{folder}/data.csv', header=true)"
    duckdb.execute(f"COPY ({table}) TO '{folder}/data.parquet'")
    arrays = {"path": str(folder / "data.npz"), "ids": "id"}
    described = {"label": "y", "id": "id", "features": ["x0", "x1"]}
    return {
        "npz": {"npz": arrays},
        "numbered": {"npz": {**arrays, "labels": "number"}},
        "from_one": {"npz": {**arrays, "labels": "one"}},
        "csv": {"table": {"path": str(folder / "data.csv"), **described}},
        "parquet": {"table": {"path": str(folder / "data.parquet"), **described}},
    }


def opened(source: dict[str, Any], forget: dict[str, Any], *, test: bool = True, **more: Any) -> Dataset:
    duplicates = more.pop("forget_duplicates", False)
    return open_dataset(manifest(source, forget, test=test, **more).data_sections, forget_duplicates=duplicates)


def manifest(source: dict[str, Any], forget: dict[str, Any], *, test: bool = True, **more: Any) -> Manifest:
    data = {"train": source, **({"test": source} if test else {})}
    return Manifest.model_validate({
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [2]},
        "data": data, "forget": forget, **more,
    })  # fmt: skip


def forgotten(dataset: Dataset) -> list[int]:
    return dataset.split("forget").rows.tolist()


@pytest.mark.parametrize("classes", [["bee"], [1], ["1"]])
def test_a_class_is_named_by_its_name_or_its_number(sources: dict[str, Any], classes: list[Any]) -> None:
    given = "numbered" if classes == ["1"] else "npz"
    dataset = opened(sources[given], {"classes": classes})
    assert forgotten(dataset) == np.flatnonzero(CLASS == 1).tolist()
    assert dataset.forget_classes == [1]


def test_several_classes_are_forgotten_at_once(sources: dict[str, Any]) -> None:
    dataset = opened(sources["npz"], {"classes": ["dog", "ant"]})
    assert forgotten(dataset) == np.flatnonzero(np.isin(CLASS, (0, 3))).tolist()
    assert dataset.forget_classes == [0, 3]


def test_classes_that_are_numbers_are_looked_up_and_not_counted(sources: dict[str, Any]) -> None:
    dataset = opened(sources["from_one"], {"classes": [1]}, classes=[1, 2, 3, 4])
    assert forgotten(dataset) == np.flatnonzero(CLASS == 0).tolist()
    assert dataset.forget_classes == [0]
    assert dataset.classes == ["1", "2", "3", "4"]
    with pytest.raises(UserError, match="no class '0'"):
        opened(sources["from_one"], {"classes": [0]}, classes=[1, 2, 3, 4])


def test_the_listed_order_of_classes_is_the_order_of_the_outputs(sources: dict[str, Any]) -> None:
    dataset = opened(sources["npz"], {"classes": ["dog"]}, classes=["dog", "cat", "bee", "ant"])
    assert dataset.forget_classes == [0]
    assert dataset.split("train").labels.tolist() == (3 - CLASS).tolist()


def test_a_class_without_records_keeps_its_place(sources: dict[str, Any]) -> None:
    listed = ["aardvark", "ant", "bee", "cat", "dog", "eel"]
    dataset = opened(sources["npz"], {"classes": ["bee"]}, classes=listed)
    assert dataset.num_outputs == 6
    assert dataset.forget_classes == [2]
    assert dataset.split("train").labels.tolist() == (CLASS + 1).tolist()
    model = {"architecture": "mlp", "arguments": {"num_classes": 7}}
    numbered = opened(sources["numbered"], {"classes": [1]}, model=model)
    assert numbered.num_outputs == 7


@pytest.mark.parametrize("name", ["bea", 4, "9"])
def test_a_class_that_does_not_exist_is_named(sources: dict[str, Any], name: str | int) -> None:
    with pytest.raises(UserError, match=f"no class '{name}'"):
        opened(sources["npz"], {"classes": [name]})


ANIMALS, PADDED, NUMBERS = ["cat", "dog", "eel", "fox"], ["01", "02", "03", "10"], [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("listed", "classes", "expected"),
    [
        (["02"], PADDED, [1]), (["10", "01"], PADDED, [0, 3]), ([10], PADDED, [3]), ([3], ANIMALS, [3]),
        ([0, 2], ANIMALS, [0, 2]), (["3"], NUMBERS, [3]), ([3], NUMBERS, [3]), (["1e5"], ["1e5", "2"], [0]),
        ([2], ["v2", "model 3", "x", "2nd"], [2]),
    ],
)  # fmt: skip
def test_a_class_is_the_one_that_is_written_so(listed: list[Any], classes: list[Any], expected: list[int]) -> None:
    assert find_class_numbers(listed, classes, "forget.classes") == expected


@pytest.mark.parametrize(
    ("listed", "classes", "message"),
    [
        ([2], PADDED, "no class '2'; did you mean '02'?; a number is a position only if no class name is a number"),
        (["2"], PADDED, "no class '2'; did you mean '02'?"),
        (["3"], ANIMALS, "no class '3'; known: cat, dog, eel, fox"),
        (["03"], ANIMALS, "no class '03'; known"), (["0x1"], ANIMALS, "no class '0x1'"), ([4], ANIMALS, "no class '4'"),
        ([-1], ANIMALS, "no class '-1'"), (["02"], NUMBERS, "no class '02'; did you mean '2'?"),
        ([2], ["one", "two", "3"], "no class '2'; known"), ([2], ["-1", "+1", "x"], "no class '2'"),
        ([0], ["1.5", "cat"], "no class '0'"), ([1], ["²", "٣", "x"], "no class '1'"),
        (["cat", 3], ANIMALS, "'cat' is a name, but 3 is the position of 'fox'; list only names"),
        ([1, "cat"], ANIMALS, "'cat' is a name, but 1 is the position of 'dog'; list only names"),
        ([3, 3], ANIMALS, "the class 'fox' is listed twice"), (["3", 3], NUMBERS, "the class '3' is listed twice"),
        (["Cat"], ANIMALS, "did you mean 'cat'?"), (["cat "], ANIMALS, "did you mean 'cat'?"),
        (["caf\u00e9"], ["cafe\u0301", "tea"], "no class 'caf\u00e9'; did you mean"),
    ],
)  # fmt: skip
def test_a_class_that_is_not_written_so_is_refused(listed: list[Any], classes: list[Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        find_class_numbers(listed, classes, "forget.classes")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "classes", "expected"),
    [
        ([0, 2], ANIMALS, [0, 2]), ([1, 2], PADDED, [None, None]), (["01", "1"], PADDED, [0, None]),
        ([1.0, 3.0], NUMBERS, [1, 3]), ([1, 3], ["3", "1"], [1, 0]), ([1], ["cat", "1"], [1]),
        ([0], ["cat", "1"], [None]),
        (["0"], ANIMALS, [None]), ([7, -2], [-2, 7], [1, 0]),
    ],
)  # fmt: skip
def test_a_label_is_a_position_only_where_no_class_is_a_number(
    labels: list[Any], classes: list[Any], expected: list[int | None]
) -> None:
    assert find_label_numbers(labels, classes) == expected


@pytest.mark.parametrize("kind", ["npz", "csv", "parquet"])
def test_records_are_named_by_id(sources: dict[str, Any], kind: str) -> None:
    assert forgotten(opened(sources[kind], {"ids": ["rec-007", "rec-030"]})) == [7, 30]


def test_without_ids_a_record_is_named_by_its_row(sources: dict[str, Any]) -> None:
    source = {"npz": {"path": sources["npz"]["npz"]["path"]}}
    assert forgotten(opened(source, {"ids": [7, "30"]})) == [7, 30]


def test_an_id_that_does_not_exist_is_named(sources: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"2 ids to forget do not exist in data\.train, the first is 'rec-998'"):
        opened(sources["npz"], {"ids": ["rec-001", "rec-999", "rec-998"]})


def test_an_id_that_two_records_have_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X, y=ANIMAL, id=np.repeat(np.arange(N // 2), 2))
    source = {"npz": {"path": str(tmp_path / "data.npz"), "ids": "id"}}
    with pytest.raises(UserError, match="the ids are not unique"):
        opened(source, {"ids": [3]})
    with pytest.raises(UserError, match=r"the id '003' to forget does not exist in data\.train; did you mean '3'"):
        opened(source, {"ids": [3, "003"]})


def test_a_file_names_ids(sources: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "request.csv").write_text("record_id,since\nrec-002,2026-11-20\nrec-039,2026-11-21\n")
    file = {"path": str(tmp_path / "request.csv"), "column": "record_id"}
    assert forgotten(opened(sources["csv"], {"ids_file": file})) == [2, 39]


def test_a_group_is_all_records_of_a_person(sources: dict[str, Any]) -> None:
    for kind in ("npz", "csv", "parquet"):
        groups = {"column": "person", "values": [2, "11"]}
        assert forgotten(opened(sources[kind], {"groups": groups})) == [6, 7, 8, 33, 34, 35]


def test_a_group_without_records_is_named(sources: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no record has person = 99"):
        opened(sources["npz"], {"groups": {"column": "person", "values": [2, 99]}})


LONG = [str(12345678901234567890 + i) for i in range(4)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_ids_and_groups_of_twenty_digits_keep_them_all(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"data.{kind}"
    people = [LONG[0], LONG[1], LONG[1], LONG[2]]
    rows = [(*pair, f"{n}.5", n % 2) for n, pair in enumerate(zip(LONG, people, strict=True))]
    if kind == "csv":
        path.write_text("\n".join(["id, person,x,y", *(f"{i}, {p},{x},{y}" for i, p, x, y in rows)]) + "\n")
    elif kind == "jsonl":
        path.write_text("".join(f'{{"id": {i}, "person": {p}, "x": {x}, "y": {y}}}\n' for i, p, x, y in rows))
    else:
        values = ", ".join(f"({i}::DECIMAL(20, 0), {p}::UBIGINT, {x}, {y})" for i, p, x, y in rows)
        duckdb.execute(f"COPY (SELECT * FROM (VALUES {values}) AS t(id, person, x, y)) TO '{path}' (FORMAT parquet)")
    (tmp_path / "request.csv").write_text(f"id\n{LONG[3]}\n")
    source = {"table": {"path": str(path), "label": "y", "id": "id", "ignore": ["person"]}}
    file = {"path": str(tmp_path / "request.csv")}
    for forget, expected in (
        ({"ids": [int(LONG[1])]}, [1]), ({"ids": [LONG[0]], "ids_file": file}, [0, 3]),
        ({"groups": {"column": "person", "values": [int(LONG[1])]}}, [1, 2]),
    ):  # fmt: skip
        assert forgotten(opened(source, forget, input={"shape": [1]})) == expected


def test_a_file_of_ids_may_have_leading_zeros(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("id,x,y\n007,1,0\n7,2,1\n008,3,1\n")
    (tmp_path / "request.csv").write_text("id\n007\n008\n")
    source = {"table": {"path": str(tmp_path / "data.csv"), "label": "y", "id": "id"}}
    file = {"path": str(tmp_path / "request.csv")}
    assert forgotten(opened(source, {"ids_file": file}, input={"shape": [1]})) == [0, 2]


def test_a_group_may_be_a_date(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("x,y,day\n1,0,2026-01-01\n2,1,2026-01-02\n3,1,2026-01-02\n4,0,2026-01-03\n")
    source = {"table": {"path": str(tmp_path / "data.csv"), "label": "y", "ignore": ["day"]}}
    groups = {"column": "day", "values": ["2026-01-02"]}
    assert forgotten(opened(source, {"groups": groups}, input={"shape": [1]})) == [1, 2]


CONDITIONS = [
    ({"column": "age", "op": op, "value": 40}, test)
    for op, test in {
        "==": AGE == 40, "!=": AGE != 40, "<": AGE < 40, "<=": AGE <= 40, ">": AGE > 40, ">=": AGE >= 40,
    }.items()
] + [
    ({"column": "height", "op": "<=", "value": 1.7}, HEIGHT <= 1.7),
    ({"column": "height", "op": "<", "value": 2}, HEIGHT < 2),
    ({"column": "age", "op": ">", "value": 29.5}, AGE > 29.5),
    ({"column": "age", "op": "in", "value": [18, 25, 40, 41.5]}, np.isin(AGE, (18, 25, 40))),
    ({"column": "city", "op": "==", "value": "Oslo"}, CITY == "Oslo"),
    ({"column": "city", "op": "!=", "value": "Zürich"}, CITY != "Zürich"),
    ({"column": "city", "op": "in", "value": ["Oslo", "a much longer name than any"]}, CITY == "Oslo"),
    ({"column": "y", "op": "in", "value": ["ant", "dog"]}, np.isin(CLASS, (0, 3))),
    ({"column": "id", "op": "==", "value": "rec-003"}, np.arange(N) == 3),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS, ids=lambda given: str(given)[:40])
def test_arrays_and_tables_agree_on_every_condition(
    sources: dict[str, Any], condition: dict[str, Any], expected: np.ndarray
) -> None:
    for kind in ("npz", "csv", "parquet"):
        train = opened(sources[kind], {"fraction": {"share": 0.5}}).split("train")
        conditions = manifest(sources[kind], {"where": [condition]}).forget
        assert conditions is not None
        assert np.array_equal(train.records.where(conditions.where), expected), kind


def test_all_conditions_must_hold(sources: dict[str, Any]) -> None:
    where = [{"column": "age", "op": ">=", "value": 30}, {"column": "city", "op": "!=", "value": "Oslo"}]
    expected = np.flatnonzero((AGE >= 30) & (CITY != "Oslo")).tolist()
    for kind in ("npz", "csv"):
        assert forgotten(opened(sources[kind], {"where": where})) == expected


def test_what_is_not_known_fulfils_no_condition(tmp_path: Path) -> None:
    age = np.array([20.0, np.nan, 40.0, 50.0])
    np.savez(tmp_path / "data.npz", x=X[:4], y=CLASS[:4], age=age)
    rows = "\n".join(f"{x},{y},{a}" for x, y, a in zip(X[:4, 0], CLASS[:4], age, strict=True))
    (tmp_path / "nan.csv").write_text(f"x,y,age\n{rows}\n")
    (tmp_path / "empty.csv").write_text(f"x,y,age\n{rows}\n".replace("nan", ""))
    table = {"label": "y", "features": ["x"]}
    for op, value in ((">", 30), ("<", 45), ("!=", 40), ("in", [20, 50])):
        where = {"where": [{"column": "age", "op": op, "value": value}]}
        found = [forgotten(opened({"npz": str(tmp_path / "data.npz")}, where))]
        for name in ("nan.csv", "empty.csv"):
            source = {"table": {"path": str(tmp_path / name), **table}}
            found.append(forgotten(opened(source, where, input={"shape": [1]})))
        assert found[0] == found[1] == found[2]
        assert 1 not in found[0]


def test_a_condition_that_looks_like_sql_is_a_value(sources: dict[str, Any]) -> None:
    where = [{"column": "city", "op": "==", "value": "Oslo' OR '1'='1"}]
    with pytest.raises(UserError, match="selects none"):
        opened(sources["csv"], {"where": where})
    with pytest.raises(UserError, match="no column"):
        opened(sources["csv"], {"where": [{"column": 'age" OR 1=1 --', "op": "==", "value": 1}]})


def test_a_random_share_is_the_same_for_one_seed(sources: dict[str, Any]) -> None:
    first, again, other = (
        forgotten(opened(sources["npz"], {"fraction": {"share": 0.25, "seed": seed}})) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert len(first) == len(other) == 10


def test_what_is_listed_is_united(sources: dict[str, Any]) -> None:
    forget = {
        "classes": ["ant"], "ids": ["rec-001"], "groups": {"column": "person", "values": [12]},
        "where": [{"column": "age", "op": ">", "value": 55}],
    }  # fmt: skip
    expected = (CLASS == 0) | (np.arange(N) == 1) | (PERSON == 12) | (AGE > 55)
    assert forgotten(opened(sources["npz"], forget)) == np.flatnonzero(expected).tolist()


@pytest.mark.parametrize(
    ("expect", "message"),
    [
        ({"min": 11}, "expect.min: is 11"), ({"max": 9}, "expect.max: is 9"),
        ({"max_share": 0.2}, "expect.max_share: is 0.2"),
    ],
)  # fmt: skip
def test_a_selection_of_another_size_than_expected_is_refused(
    sources: dict[str, Any], expect: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        opened(sources["npz"], {"classes": ["ant"], "expect": expect})


def test_a_selection_of_the_expected_size_is_accepted(sources: dict[str, Any]) -> None:
    expect = {"min": 10, "max": 10, "max_share": 0.25}
    assert len(forgotten(opened(sources["npz"], {"classes": ["ant"], "expect": expect}))) == 10


def test_a_selection_of_nothing_or_everything_is_refused(sources: dict[str, Any]) -> None:
    for value, message in ((1000, "selects none of 40"), (0, "selects all 40")):
        with pytest.raises(UserError, match=message):
            opened(sources["npz"], {"where": [{"column": "age", "op": ">", "value": value}]})


@pytest.mark.parametrize(
    ("forget", "derived"),
    [
        ({"classes": ["ant"]}, True),
        ({"where": [{"column": "age", "op": ">", "value": 40}]}, True),
        ({"ids": ["rec-001"]}, False),
        ({"groups": {"column": "person", "values": [1]}}, False),
        ({"fraction": {"share": 0.5}}, False),
    ],
)
def test_test_is_divided_where_the_selection_makes_sense_there(
    sources: dict[str, Any], forget: dict[str, Any], derived: bool
) -> None:
    splits = opened(sources["npz"], forget).splits
    assert set(splits) == {"train", "test", "forget", "retain", *(("test_forget", "test_retain") if derived else ())}


def test_ids_do_not_divide_test_even_beside_classes(sources: dict[str, Any]) -> None:
    dataset = opened(sources["npz"], {"classes": ["ant"], "ids": ["rec-001"]})
    assert forgotten(dataset) == sorted([*range(0, N, 4), 1])
    assert dataset.split("test_forget").rows.tolist() == list(range(0, N, 4))


def test_without_test_data_there_are_no_splits_of_it(sources: dict[str, Any]) -> None:
    assert set(opened(sources["npz"], {"classes": ["ant"]}, test=False).splits) == {"train", "forget", "retain"}


def test_whole_classes_are_recognised_however_they_were_named(sources: dict[str, Any]) -> None:
    ids = ID[CLASS == 2].tolist()
    assert opened(sources["npz"], {"ids": ids}).forget_classes == [2]
    assert opened(sources["npz"], {"ids": ids[1:]}).forget_classes is None
    assert opened(sources["npz"], {"classes": ["cat"], "ids": ["rec-000"]}).forget_classes is None


@pytest.fixture
def repeated(tmp_path: Path) -> dict[str, Any]:
    """Records 0, 5 and 9 have equal samples."""
    x = X.copy()
    x[[5, 9]] = x[0]
    np.savez(tmp_path / "data.npz", x=x, y=ANIMAL)
    return {"npz": str(tmp_path / "data.npz")}


def test_duplicates_of_forgotten_records_in_retain_are_counted(
    repeated: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    described = manifest(repeated, {"ids": [0, 9, 20]})
    assert count_duplicates(open_data(described, Path("data.yaml"), RunOptions())) == 1
    assert "1 record of retain equals a forgotten one byte for byte; --forget-duplicates" in capsys.readouterr().err


def test_copies_of_forgotten_records_in_test_are_counted(
    repeated: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "test.npz", x=np.concatenate([X[:1], X[20:21], X[20:21] + 1]), y=ANIMAL[[0, 20, 20]])
    described = manifest(repeated, {"ids": [0, 20]})
    data = {"train": repeated, "test": {"npz": str(tmp_path / "test.npz")}}
    described = Manifest.model_validate({**described.model_dump(exclude_unset=True), "data": data})
    found = find_copies(open_data(described, Path("data.yaml"), RunOptions()))
    assert (found.in_retain, found.in_test) == (2, 2)
    assert "2 records of test equal a forgotten one byte for byte" in capsys.readouterr().err


def test_duplicates_can_be_forgotten_too(repeated: dict[str, Any]) -> None:
    dataset = opened(repeated, {"ids": [0, 20]}, forget_duplicates=True)
    assert forgotten(dataset) == [0, 5, 9, 20]
    assert dataset.split("retain").rows.tolist() == [i for i in range(N) if i not in (0, 5, 9, 20)]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_forgotten_the_splits_are_disjoint_and_complete(sources: dict[str, Any], seed: int) -> None:
    random = np.random.default_rng(seed)
    older = {"column": "age", "op": str(random.choice(["<", ">=", "!="])), "value": int(random.integers(25, 50))}
    ways: dict[str, Any] = {
        "classes": random.choice(["ant", "bee", "cat", "dog"], random.integers(1, 4), replace=False).tolist(),
        "ids": ID[random.permutation(N)[:5]].tolist(),
        "groups": {"column": "person", "values": random.permutation(14)[:2].tolist()},
        "where": [older],
        "fraction": {"share": float(random.uniform(0.1, 0.4)), "seed": int(seed)},
    }
    chosen = random.choice(list(ways), random.integers(1, 4), replace=False).tolist()
    try:
        dataset = opened(sources[str(random.choice(["npz", "csv", "parquet"]))], {name: ways[name] for name in chosen})
    except UserError as error:  # the union of much may be everything
        assert "selects all" in str(error)
        return
    parts = [("train", "forget", "retain"), ("test", "test_forget", "test_retain")]
    for whole, first, second in parts if "test_forget" in dataset.splits else parts[:1]:
        rows = [dataset.split(name).rows.tolist() for name in (whole, first, second)]
        assert sorted(rows[1] + rows[2]) == rows[0] == list(range(N))
        assert all(sorted(row) == row for row in rows)
        for name in (first, second):
            split = dataset.split(name)
            assert np.array_equal(split.labels, CLASS[split.rows])


def test_a_condition_on_text_compares_the_text_and_one_on_numbers_the_number(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "data.npz", x=X[:4], y=CLASS[:4], code=np.array(["7", "007", "1e3", "true"]),
        number=np.array([7, 1000, 31, 5]), flag=np.array([True, False, True, False]),
    )  # fmt: skip
    source = {"npz": {"path": str(tmp_path / "data.npz")}}
    for column, text, expected in (
        ("code", "007", [1]), ("code", "7", [0]), ("code", "1e3", [2]), ("code", "true", [3]), ("number", "007", [0]),
        ("number", "1e3", [1]), ("number", "0x1f", [2]), ("flag", "true", [0, 2]), ("code", "'007'", [1]),
    ):  # fmt: skip
        for op, value in (("==", text), ("in", f"[{text}]")):
            forget = strict_yaml.parse(f"where: [{{column: {column}, op: {op}, value: {value}}}]", Path("a")).raw
            assert forgotten(opened(source, forget)) == expected, (column, text)
    for column, text in (("number", "'7'"), ("number", ".nan"), ("code", "7, op: <"), ("number", "x")):
        forget = strict_yaml.parse(f"where: [{{column: {column}, value: {text}}}]", Path("a")).raw
        with pytest.raises(UserError, match=r"contains (text such as|numbers; compare it with)"):
            opened(source, {"where": [{"op": "==", **forget["where"][0]}]})


def test_a_group_of_true_and_false_is_written_as_in_yaml(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=X[:4], y=CLASS[:4], flag=np.array([True, False, True, False]))
    forget = strict_yaml.parse("groups: {column: flag, values: [true]}", Path("a")).raw
    assert forgotten(opened({"npz": str(tmp_path / "data.npz")}, forget)) == [0, 2]


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [
        ("007", "did you mean '7'?"),
        ("1.0", "did you mean '1'?"),
        (" 7", "did you mean '7'?"),
        ("x", "correct or remove what does not exist"),
    ],
)
def test_an_id_that_does_not_exist_is_refused_with_the_nearest_one(tmp_path: Path, wanted: str, hint: str) -> None:
    np.savez(tmp_path / "data.npz", x=X, y=ANIMAL, id=np.arange(N))
    source = {"npz": {"path": str(tmp_path / "data.npz"), "ids": "id"}}
    for numbered in (source, {"npz": {"path": str(tmp_path / "data.npz")}}):
        with pytest.raises(UserError, match="to forget does not exist") as caught:
            opened(numbered, {"ids": [wanted]})
        assert hint in str(caught.value)
    with pytest.raises(UserError, match="no record has id = ") as caught:
        opened(source, {"groups": {"column": "id", "values": [wanted]}})
    assert hint in str(caught.value) or wanted == "x"


@pytest.mark.parametrize(("name", "head"), [("ids.txt", ""), ("ids.csv", "id\n")])
def test_a_list_of_ids_that_may_be_cut_is_warned_of(
    name: str, head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, warned in (("r1\nr23\n", False), ("r1\nr2", True)):  # r2 is another record than r23
        (tmp_path / name).write_text(head + text)
        assert read_ids(tmp_path / name, "id", "forget.ids_file").tolist() == text.split()
        assert ("the last line has no line end; if the file is truncated" in capsys.readouterr().err) == warned
