"""Windows go by time and stay within their series."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.batch.test_resolve import Asked, described, resolved
from unlearn_cli.data.dataset import open_records
from unlearn_cli.data.records import Records
from unlearn_cli.errors import UserError
from unlearn_cli.schema.forget import Groups

HOURS = [f"2013-01-01T{hour:02d}:00" for hour in range(8)]


def source(folder: Path, columns: dict[str, list[Any]], kind: str = "csv", **more: Any) -> dict[str, Any]:
    n = len(next(iter(columns.values())))
    columns = {"id": [f"r{i}" for i in range(n)], "y": [i % 2 for i in range(n)], "x": list(range(n)), **columns}
    if kind == "npz":
        arrays = {name: np.array(values) for name, values in columns.items() if name != "x"}
        np.savez(folder / "t.npz", x=np.arange(n, dtype=np.float32)[:, None], **arrays)  # type: ignore[arg-type]
        return {"npz": {"path": str(folder / "t.npz"), "ids": "id"}, **more}
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    (folder / "t.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return {"table": {"path": str(folder / "t.csv"), "label": "y", "id": "id", "features": ["x"]}, **more}


def windows(train: dict[str, Any], **window: Any) -> Records:
    manifest = described(train, transform=[{"window": {"length": 2, **window}}], input={"shape": [2, 1]})
    assert manifest.data is not None
    return open_records(manifest.data.train, "data.train", manifest.data_sections)


def seen(records: Records) -> list[list[int]]:
    rows = records.inputs.take(np.arange(len(records)))[:, :, 0].astype(int)
    return [[int(one[1:]), *row] for one, row in zip(records.ids.tolist(), rows.tolist(), strict=True)]


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_rows_that_do_not_ascend_in_time_are_refused(kind: str, tmp_path: Path) -> None:
    for swapped in ([*HOURS[:3], HOURS[4], HOURS[3], *HOURS[5:]], [*HOURS[:4], *HOURS[3:7]]):
        train = source(tmp_path, {"when": swapped}, kind)
        lines = r" \(lines 5 and 6\)" if kind == "csv" else ""
        for window in ({"time": "when"}, {}):
            with pytest.raises(UserError, match=rf"'when' the rows 3 and 4{lines} are .*time: COLUMN, series: COLUMN"):
                windows(train, **window)
        assert len(windows(source(tmp_path, {"when": swapped, "number": list(range(8))}, kind), time="number")) == 6


def test_years_months_days_and_hours_are_dates(tmp_path: Path) -> None:
    days = {"year": [2013] * 4, "Month": [1, 1, 2, 2], "day": [30, 31, 1, 2]}
    assert len(windows(source(tmp_path, days))) == 2
    with pytest.raises(UserError, match="by column 'year Month day' the rows 1 and 2"):
        windows(source(tmp_path, {**days, "Month": [1, 2, 1, 2]}))
    with pytest.raises(UserError, match="at the same time"):
        windows(source(tmp_path, {**days, "day": [30, 30, 1, 2]}))


def test_a_format_of_dates_gives_the_order(tmp_path: Path) -> None:
    days = ["30-01-2013", "31-01-2013", "01-02-2013", "02-02-2013"]
    assert len(windows(source(tmp_path, {"when": days}, dates={"when": "%d-%m-%Y"}), time="when")) == 2
    with pytest.raises(UserError, match=r"looks like %d-%m-%Y; .*dates: {when:"):
        windows(source(tmp_path, {"when": days}), time="when")
    with pytest.raises(UserError, match="the rows 1 and 2"):
        windows(source(tmp_path, {"when": days}, dates={"when": "%m-%d-%Y"} | {"when": "%d-%m-%Y"}) | {
            "table": source(tmp_path, {"when": [days[0], days[2], days[1], days[3]]})["table"]})  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_no_window_crosses_a_series(kind: str, tmp_path: Path) -> None:
    columns = {"when": [HOURS[0], HOURS[0], HOURS[1], HOURS[1], HOURS[2], HOURS[3]], "who": list("abbaab")}
    train = source(tmp_path, columns, kind)
    assert seen(windows(train, time="when", series="who", ahead=0)) == [[2, 1, 2], [3, 0, 3], [4, 3, 4], [5, 2, 5]]
    assert seen(windows(train, series="who", ahead=1)) == [[4, 0, 3], [5, 1, 2]]
    with pytest.raises(UserError, match="at the same time"):
        windows(train, ahead=0)
    with pytest.raises(UserError, match="wrong order"):
        windows(source(tmp_path, {**columns, "when": columns["when"][::-1]}, kind), time="when", series="who")


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_windows_across_a_gap_are_left_out_and_counted(kind: str, tmp_path: Path) -> None:
    train = source(tmp_path, {"when": [*HOURS[:3], *HOURS[5:]]}, kind)
    records = windows(train, time="when", max_gap="1h", ahead=0)
    assert seen(records) == [[1, 0, 1], [2, 1, 2], [4, 3, 4], [5, 4, 5]]
    assert [(one.kind, one.count) for one in records.notices] == [("windows across a gap, left out", 1)]
    assert seen(windows(train, time="when", max_gap="1h")) == [[2, 0, 1], [5, 3, 4]], "nor the record's own row"
    assert len(windows(train, time="when", max_gap="0.2d").notices) == 0
    numbers = source(tmp_path, {"t": [0, 1, 2, 9, 10, 11]}, kind)
    assert seen(windows(numbers, time="t", max_gap=1, ahead=0)) == [[1, 0, 1], [2, 1, 2], [4, 3, 4], [5, 4, 5]]
    with pytest.raises(UserError, match="max_gap is 1h, but column 't' needs a number"):
        windows(numbers, time="t", max_gap="1h")
    with pytest.raises(UserError, match=r"max_gap is 1\.0, but column 'when' needs a duration, such as 2h"):
        windows(source(tmp_path, {"when": HOURS}, kind), time="when", max_gap=1.0)


def test_requests_mean_the_records_that_windows_leave(tmp_path: Path) -> None:
    columns = {
        "when": [HOURS[0], HOURS[0], HOURS[1], HOURS[1], HOURS[2], HOURS[7]],
        "who": list("abbaab"),
        "p": ["p"] * 6,
    }
    train = source(tmp_path, columns)
    window = {"length": 2, "ahead": 0, "time": "when", "series": "who", "max_gap": "2h"}
    manifest = described(train, transform=[{"window": window}], input={"shape": [2, 1]})
    result = resolved(manifest, tmp_path, [Asked(groups=Groups(column="p", values=["p"]))])
    assert (tmp_path / "forget.csv").read_text().split() == ['"id"', '"r2"', '"r3"', '"r4"']
    assert result.source == len(windows(train, **window)) == 3


@pytest.mark.parametrize("kind", ["csv", "npz"])
def test_a_row_that_names_no_series_is_refused(kind: str, tmp_path: Path) -> None:
    train = source(tmp_path, {"when": HOURS, "who": ["a", "a", "b", "", "b", "a", "", "b"]}, kind)
    line = r" \(line 5\)" if kind == "csv" else ""
    with pytest.raises(UserError, match=rf"'who', the series of windows, is empty in row 3{line}; fill it"):
        windows(train, time="when", series="who")
    manifest = described(train, transform=[{"window": {"length": 2, "series": "who"}}], input={"shape": [2, 1]})
    if kind == "csv":
        with pytest.raises(UserError, match=r"'who'.* is empty in row 3"):
            resolved(manifest, tmp_path, [Asked(groups=Groups(column="id", values=["r1"]))])
