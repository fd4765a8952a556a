"""Times in reports."""

import time


def format_now() -> str:
    """Return the current time in UTC as ISO 8601 text."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
