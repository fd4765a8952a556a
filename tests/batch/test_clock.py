"""Time of the ledger: one form, in UTC; deadlines by calendar months or days."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from unlearn_cli.batch.ledger import clock
from unlearn_cli.batch.settings.policy import Deadline
from unlearn_cli.errors import UserError

MONTH = Deadline(months=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-11-20T09:30:00", "2026-12-20T09:30:00"), ("2026-12-31T23:59:59", "2027-01-31T23:59:59"),
        ("2026-01-31T08:00:00", "2026-02-28T08:00:00"), ("2028-01-31T08:00:00", "2028-02-29T08:00:00"),
        ("2026-03-31T00:00:00", "2026-04-30T00:00:00"), ("2026-02-28T12:00:00", "2026-03-28T12:00:00"),
    ],
)  # fmt: skip
def test_a_month_ends_on_the_same_day_or_on_the_last_one(received: str, due: str) -> None:
    assert clock.compute_due_time(at(received), MONTH) == at(due)


def test_several_months_may_cross_years_and_days_are_days() -> None:
    assert clock.compute_due_time(at("2026-10-31T10:00:00"), Deadline(months=16)) == at("2028-02-29T10:00:00")
    assert clock.compute_due_time(at("2026-02-20T10:00:00"), Deadline(days=28)) == at("2026-03-20T10:00:00")


def test_a_day_is_one_of_utc() -> None:
    east = datetime(2026, 2, 1, 1, 0, tzinfo=timezone(timedelta(hours=3)))  # 31 January in UTC
    assert clock.compute_due_time(east, MONTH) == at("2026-02-28T22:00:00")


def test_told_times_are_in_the_order_of_time_and_read_back() -> None:
    times = [at("2026-11-20T09:30:00"), at("2026-11-20T09:30:00.000001"), at("2026-11-20T09:30:01"), at("2027-01-01")]
    told = [clock.format_time(time) for time in times]
    assert sorted(told) == told
    assert [clock.parse_time(text) for text in told] == times
    assert clock.shorten_time(told[1]) == "2026-11-20T09:30:00Z"


def test_lengths_of_time_are_days_or_hours() -> None:
    assert (clock.parse_duration("7d"), clock.parse_duration("12h")) == (timedelta(days=7), timedelta(hours=12))
    for wrong in ("7", "d", "-1d", "1.5d", "7 d", "7w", ""):
        with pytest.raises(UserError, match="such as 7d or 12h"):
            clock.parse_duration(wrong)
