"""Strict JSON: duplicate keys are refused, and so is nesting that is too deep for Python."""

import json
from collections import Counter
from typing import Any


def read(text: str | bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or has a duplicate key.
    """
    try:
        return json.loads(text, object_pairs_hook=refuse_duplicate_keys)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse duplicate keys, of which Python keeps the last; for `object_pairs_hook`."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"duplicate key '{name}'")
    return mapping
