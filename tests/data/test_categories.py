"""Columns of categories, dates and text next to numbers: equal codes in all sources and in all runs of a network."""

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from tests.data.test_sources import opened, samples
from unlearn_cli.data.dataset import Dataset, open_dataset
from unlearn_cli.errors import UserError
from unlearn_cli.schema.manifest import Manifest, read

ROWS = """\
age,work,level,y
1,private,low,a
2,state,high,b
3,private,mid,a
4,,low,b
5,state,low,a
6,,mid,b
7,odd,mid,a
"""
WORK = {"": 0, "private": 1, "state": 2, "odd": 3}


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "t.csv").write_text(ROWS, encoding="utf-8")
    return {"path": str(tmp_path / "t.csv"), "label": "y"}


def one_hot(names: list[str], size: int = 4) -> list[list[int]]:
    return [[int(WORK[name] == k) for k in range(size)] for name in names]


def notices(dataset: Dataset) -> dict[str, int]:
    return {notice.source: notice.count for notice in dataset.notices}


def test_each_category_of_train_is_a_feature_and_rare_ones_have_one_in_common(table: dict[str, Any]) -> None:
    source = {"table": {**table, "one_hot": ["work"], "ignore": ["level"]}}
    dataset = opened(source, [5])
    work = ["private", "state", "private", "", "state", "", "odd"]
    assert samples(dataset.split("train"))[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7], "columns keep their order"
    assert samples(dataset.split("train"))[:, 1:].tolist() == one_hot(work)
    assert dataset.categories == {"work": ("", "private", "state")}, "an empty cell is a category, a rare one is not"
    assert notices(dataset) == {"data.train": 1}


def test_an_ordinal_is_the_position_in_the_list(table: dict[str, Any]) -> None:
    listed = {"table": {**table, "ordinal": {"level": ["low", "mid", "high"]}, "features": ["age"]}}
    assert samples(opened(listed, [2]).split("train"))[:, 1].tolist() == [0, 2, 1, 0, 0, 1, 1]
    by_name = {"table": {**table, "ordinal": ["level"], "ignore": ["work"], "min_count": 1}}
    assert samples(opened(by_name, [2]).split("train"))[:, 1].tolist() == [1, 0, 2, 1, 1, 2, 2]
    partly = {"table": {**table, "ordinal": {"level": ["low", "mid"]}, "features": ["age"]}}
    dataset = opened(partly, [2])
    assert samples(dataset.split("train"))[:, 1].tolist() == [0, 2, 1, 0, 0, 1, 1] and notices(dataset) == {
        "data.train": 1
    }


def test_other_sources_have_the_categories_of_train(table: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("age,work,level,y\n1,state,low,a\n2,new,low,b\n", encoding="utf-8")
    keys = {"label": "y", "one_hot": ["work"], "ignore": ["level"]}
    test = {"table": {"path": str(tmp_path / "test.csv"), **keys}}
    dataset = opened({"table": {**table, **keys}}, [5], test=test)
    assert samples(dataset.split("test"))[:, 1:].tolist() == one_hot(["state", "odd"])
    assert notices(dataset) == {"data.train": 1, "data.test": 1}


def test_the_selection_does_not_change_the_categories(table: dict[str, Any]) -> None:
    source = {"table": {**table, "one_hot": ["work"], "ignore": ["level"]}}
    where = [{"column": "work", "op": "==", "value": "state"}]
    dataset = opened(source, [5], forget={"where": where})
    assert dataset.split("forget").rows.tolist() == [1, 4]
    assert dataset.categories == {"work": ("", "private", "state")}


def test_the_categories_of_a_checkpoint_are_used(table: dict[str, Any]) -> None:
    manifest = {
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [4]},
        "data": {"train": {"table": {**table, "one_hot": ["work"], "ignore": ["level"]}}},
    }  # fmt: skip
    sections = Manifest.model_validate(manifest).data_sections
    dataset = open_dataset(sections, categories={"work": ("odd", "state")})
    positions = samples(dataset.split("train"))[:, 1:].argmax(axis=1)
    assert positions.tolist() == [2, 1, 2, 2, 1, 2, 0] and notices(dataset) == {"data.train": 4}
    with pytest.raises(UserError, match="the checkpoint was trained with categories of the columns level, but the"):
        open_dataset(sections, categories={"level": ("low",)})
    manifest["data"]["train"]["table"]["one_hot"] = {"work": ["private", "state", "odd"]}  # type: ignore[index]
    with pytest.raises(UserError, match="lists other categories; use the manifest of its training"):
        open_dataset(Manifest.model_validate(manifest).data_sections, categories={"work": ("odd", "state")})


def test_a_manifest_without_categories_does_not_fit_a_checkpoint_with_them(table: dict[str, Any]) -> None:
    manifest = {
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [1]},
        "data": {"train": {"table": {**table, "features": ["age"]}}},
    }  # fmt: skip
    with pytest.raises(UserError, match="columns work, but the manifest encodes none"):
        open_dataset(Manifest.model_validate(manifest).data_sections, categories={"work": ("odd",)})


def test_only_quantities_are_standardised(table: dict[str, Any]) -> None:
    keys = {"one_hot": ["work"], "ordinal": {"level": ["low", "mid", "high"]}}
    manifest = {
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [6]},
        "data": {"train": {"table": {**table, **keys}}, "transform": [{"standardise": {}}]},
    }  # fmt: skip
    x = samples(open_dataset(Manifest.model_validate(manifest).data_sections).split("train"))
    assert np.isin(x[:, 1:5], (0, 1)).all()
    assert np.allclose(x[:, [0, 5]].mean(axis=0), 0, atol=1e-6) and np.allclose(x[:, [0, 5]].std(axis=0), 1)


def test_windows_have_encoded_rows(table: dict[str, Any]) -> None:
    manifest = {
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [2, 5]},
        "data": {
            "train": {"table": {**table, "one_hot": ["work"], "ignore": ["level"]}},
            "transform": [{"window": {"length": 2, "ahead": 1}}],
        },
    }  # fmt: skip
    x = samples(open_dataset(Manifest.model_validate(manifest).data_sections).split("train"))
    assert x[:, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert x[0, :, 1:].tolist() == one_hot(["private", "state"])


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_categories_of_typed_tables_are_as_written(kind: str, tmp_path: Path) -> None:
    form = {"jsonl": "FORMAT json", "parquet": "FORMAT parquet"}[kind]
    values = "(7, true, 'a'), (7, false, 'b'), (12, NULL, 'a'), (12, true, 'b')"
    duckdb.execute(f"COPY (SELECT * FROM (VALUES {values}) AS t(zip, f, y)) TO '{tmp_path / f't.{kind}'}' ({form})")
    source = {"table": {"path": str(tmp_path / f"t.{kind}"), "label": "y", "one_hot": ["zip", "f"], "min_count": 1}}
    assert opened(source, [7]).categories == {"zip": ("12", "7"), "f": ("", "false", "true")}


def test_parts_of_dates_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("day,y\n31.12.2012 23:59,a\n29.02.2016 00:00,b\n", encoding="utf-8")
    parts = ["year", "month", "day", "day_of_year", "weekday", "hour", "minute", "second", "days"]
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "date_parts": {"day": parts}}}
    source["dates"] = {"day": "%d.%m.%Y %H:%M"}
    x = samples(opened(source, [9]).split("train"))
    assert x[0, :8].tolist() == [2012, 12, 31, 366, 0, 23, 59, 0]
    assert x[1].tolist() == [2016, 2, 29, 60, 0, 0, 0, 0, 16860]
    del source["dates"]
    with pytest.raises(UserError, match=r"such as '29\.02\.2016 00:00', which looks like %d\.%m\.%Y %H:%M"):
        opened(source, [9])
    (tmp_path / "t.csv").write_text("day,y\n2012-12-31,a\n2016-02-29,b\n", encoding="utf-8")
    assert samples(opened(source, [9]).split("train"))[:, 0].tolist() == [2012, 2016]
    (tmp_path / "t.csv").write_text("day,y\n12,a\n16,b\n", encoding="utf-8")
    with pytest.raises(UserError, match="contains numbers, but date_parts needs dates"):
        opened(source, [9])
    (tmp_path / "t.csv").write_text("day,y\n2012-12-31,a\n,b\n", encoding="utf-8")
    with pytest.raises(UserError, match="is empty"):
        opened(source, [9])


def mixed(path: Path, shape: list[int], steps: list[dict[str, Any]], **keys: Any) -> Dataset:
    manifest = {
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": shape},
        "data": {"train": {"table": {"path": str(path), "label": "y", **keys}}, "transform": steps},
    }  # fmt: skip
    return open_dataset(Manifest.model_validate(manifest).data_sections)


def test_numbers_stand_in_front_of_the_words(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("f,c,text,title,y\n1,u,good film,one two three,a\n3,v,bad,four,b\n", encoding="utf-8")
    keys = {"text": ["text", "title"], "features": ["f"], "one_hot": ["c"], "min_count": 1}
    tokens = {"tokens": {"length": 2, "buckets": 64}}
    words = samples(mixed(path, [2, 2], [tokens], text=keys["text"]).split("train")).reshape(2, -1)
    x = samples(mixed(path, [8], [tokens, {"standardise": {}}], **keys).split("train"))
    assert x[:, :4].tolist() == [[-1, 1, 0, 0], [1, 0, 1, 0]]
    assert np.array_equal(x[:, 4:], words) and words.max() > 1, "words are not standardised"
    with pytest.raises(UserError, match=r"make 8 features \(f: 1, c: 3, text, title: 4\), but .* expect \[9\]"):
        mixed(path, [9], [tokens], **keys)
    with pytest.raises(ValueError, match=r"makes samples of shape \[numbers \+ 2 x 2\]"):
        mixed(path, [2, 2], [tokens], **keys)
    with pytest.raises(ValueError, match=r"makes samples of shape \[2, 2\]"):
        mixed(path, [4], [tokens], text=keys["text"])
    with pytest.raises(ValueError, match="tokens cannot be combined"):
        mixed(path, [2, 2], [tokens, {"standardise": {}}], text=keys["text"])


def test_copies_are_recognised_by_their_cells(table: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("age,work,level,y\n7,even,mid,a\n1,private,low,a\n", encoding="utf-8")
    keys = {"one_hot": ["work"], "ordinal": ["level"]}
    test = {"table": {"path": str(tmp_path / "test.csv"), "label": "y", **keys}}
    dataset = opened({"table": {**table, **keys}}, [6], test=test)
    assert dataset.split("test").copies_of(dataset.split("train")).tolist() == [False, True], "both rare, yet different"


@pytest.mark.parametrize(
    ("keys", "shape", "message"),
    [
        ({"one_hot": ["work"], "ignore": ["level"]}, [4], r"5 features \(age: 1, work: 4\), .* input.shape to \[5\]"),
        ({"one_hot": ["wrk"]}, [4], "no column 'wrk'; did you mean 'work'"),
        ({"features": ["age", "work", "level"]}, [3], r"encode columns of categories: one_hot: \[work, level\]"),
        ({"one_hot": ["work"], "ordinal": ["work"]}, [3], "column 'work' has two uses"),
        ({"one_hot": ["y"]}, [3], "column 'y' has two uses"),
        ({"one_hot": {"work": []}}, [3], "at least 1 item"),
        ({"date_parts": {"work": ["century"]}}, [3], "'year', 'month'"),
        ({"image": "work", "one_hot": ["level"]}, [3], "'image' excludes"),
        ({"one_hot": ["level"]}, [3], "column 'work' contains text"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_what_to_do(
    keys: dict[str, Any], shape: list[int], message: str, table: dict[str, Any]
) -> None:
    with pytest.raises((UserError, ValueError), match=message):
        opened({"table": {**table, **keys}}, shape)


def test_sources_must_be_encoded_alike(table: dict[str, Any]) -> None:
    test = {"table": {**table, "one_hot": ["level"], "ordinal": ["work"]}}
    with pytest.raises(UserError, match=r"data\.test: its columns of features are not those of data\.train"):
        opened({"table": {**table, "one_hot": ["work"], "ordinal": ["level"]}}, [6], test=test)


def test_too_many_categories_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"{i},n{i},a\n" for i in range(1100))
    (tmp_path / "t.csv").write_text(f"f,name,y\n{rows}", encoding="utf-8")
    source = {"table": {"path": str(tmp_path / "t.csv"), "label": "y", "one_hot": ["name"]}}
    assert opened(source, [2]).categories == {"name": ()}, "no name of one record is recorded"
    source["table"]["min_count"] = 1
    with pytest.raises(UserError, match="column 'name' has 1100 categories, the most is 1000; set min_count"):
        opened(source, [2])


def test_names_of_categories_are_kept_as_written(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("zip,y\n007,a\n7,b\n007,b\n7,a\n", encoding="utf-8")
    text = "version: 1\ntask: classification\nmodel: {architecture: mlp}\ninput: {shape: [3]}\ndata:\n  train:\n"
    text += f"    table: {{path: {json.dumps(str(path))}, label: y, one_hot: {{zip: [007, 7]}}}}\n"
    (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
    dataset = open_dataset(read(tmp_path / "m.yaml").data_sections)
    assert samples(dataset.split("train")).argmax(axis=1).tolist() == [0, 1, 0, 1]


def test_tables_with_other_columns_are_not_taken_for_each_other(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("f,g,y\n1,2,a\n3,4,b\n", encoding="utf-8")
    train = {"table": {"path": str(tmp_path / "train.csv"), "label": "y"}}
    test = {"table": {"path": str(tmp_path / "test.csv"), "label": "y"}}
    (tmp_path / "test.csv").write_text("y,g,f\na,2,1\nb,4,3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"data\.test: its features are not .* it has 'g' where data\.train has 'f'"):
        opened(train, [2], test=test)
    test["table"]["features"] = ["f", "g"]  # type: ignore[assignment]
    assert samples(opened(train, [2], test=test).split("test")).tolist() == [[1, 2], [3, 4]]
    (tmp_path / "test.csv").write_text("f,g,h,y\n1,2,0,a\n3,4,0,b\n", encoding="utf-8")
    del test["table"]["features"]
    with pytest.raises(UserError, match="samples have shape"):
        opened(train, [2], test=test)


def test_true_and_false_are_numbers_as_features(tmp_path: Path) -> None:
    values = "(true, 1.5, 'a'), (false, 2.5, 'b'), (NULL, 2.0, 'a')"
    duckdb.execute(
        f"COPY (SELECT * FROM (VALUES {values}) AS t(b, f, y)) TO '{tmp_path / 't.parquet'}' (FORMAT parquet)"
    )
    table = {"path": str(tmp_path / "t.parquet"), "label": "y"}
    with pytest.raises(UserError, match=r"column 'b' is empty in row 2; .* with standardise: \{missing: mean\}"):
        opened({"table": table}, [2])
    manifest = {
        "version": 1, "task": "classification", "model": {"architecture": "mlp"}, "input": {"shape": [2]},
        "data": {"train": {"table": table}, "transform": [{"standardise": {"missing": "mean"}}]},
    }  # fmt: skip
    x = samples(open_dataset(Manifest.model_validate(manifest).data_sections).split("train"))
    assert x[:, 0].tolist() == [1, -1, 0]
