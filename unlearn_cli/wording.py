"""Words that messages and reports share."""


def pluralize(n: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun, and its verb if there is one: '1 record', '2 records'."""
    return f"{n} {singular if n == 1 else plural or f'{singular}s'}"
