"""JSON from outside, read strictly: a key that comes twice is refused, and so is nesting beyond what Python reads."""

import json
from collections import Counter
from typing import Any


def read(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is none, or a key is in an object twice.
    """
    try:
        return json.loads(text, object_pairs_hook=refuse_duplicate_keys)
    except RecursionError:
        raise ValueError("lists in lists in lists") from None


def refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that comes twice, of which Python keeps the last; for `object_pairs_hook`."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"'{name}' is in it twice")
    return mapping
