"""Times of the ledger: UTC, in one text form whose alphabetical order is the order of time; deadlines and durations."""

import calendar
import re
from datetime import UTC, datetime, timedelta

from unlearn_cli.batch.settings.policy import Deadline
from unlearn_cli.errors import UserError

_DURATION = re.compile(r"([0-9]{1,5})([dh])")


def now() -> datetime:
    return datetime.now(UTC)


def format_time(time: datetime) -> str:
    """Return a time as text in UTC with microseconds, such as '2026-11-20T09:30:00.000000Z'."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def shorten_time(text: str) -> str:
    """Return a text of `format_time` without the fraction of a second, for display."""
    return f"{text[:19]}Z"


def parse_time(text: str) -> datetime:
    """Return the time that a text of `format_time` stands for."""
    return datetime.fromisoformat(text).astimezone(UTC)


def compute_due_time(received: datetime, deadline: Deadline) -> datetime:
    """Return the end of a deadline: some days later, or the same day and time of a later month.

    If that month has no such day, its last day counts: what is received on 31 January is due on 28 or 29 February
    (GDPR Art. 12(3); regulation 1182/71 defines how months are counted).
    """
    start = received.astimezone(UTC)
    if deadline.days is not None:
        return start + timedelta(days=deadline.days)
    years, month = divmod(start.month - 1 + (deadline.months or 0), 12)
    year, month = start.year + years, month + 1
    return start.replace(year=year, month=month, day=min(start.day, calendar.monthrange(year, month)[1]))


def parse_duration(text: str) -> timedelta:
    """Return the duration that a text such as '7d' or '12h' stands for.

    Raises:
        UserError: the text has another form.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UserError(f"'{text}' is not a duration; expected a number of days or hours, such as 7d or 12h")
    return timedelta(days=int(match[1])) if match[2] == "d" else timedelta(hours=int(match[1]))
