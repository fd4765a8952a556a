"""Refuses gates on splits that a manifest does not have, before anything is read or computed."""

from collections.abc import Iterable

from unlearn_cli.errors import UserError
from unlearn_cli.schema.gates import parse_condition
from unlearn_cli.schema.manifest import Manifest

NEEDED = {  # for each split, what the manifest must have
    "test": "data.test",
    "forget": "forget",
    "retain": "forget",
    "test_forget": "data.test",
    "test_retain": "data.test",
    "forgotten": "forgotten",
}
PARTS_OF_TEST = ("test_forget", "test_retain")


def check_gated_splits(manifest: Manifest, conditions: Iterable[str], source: str) -> None:
    """Refuse conditions that cannot hold because the manifest has no such split.

    A split that exists but contains no record is not refused: its gates fail, with the reason. `source` of the
    conditions is for messages: the manifest's path, or an option.

    Raises:
        UserError: names the condition, and what the manifest lacks.
    """
    for text in conditions:
        split = parse_condition(text).split
        if lack := _describe_lack(manifest, split):
            raise UserError(f"{source}: condition '{text}': the manifest has no split '{split}', because {lack}")


def _describe_lack(manifest: Manifest, split: str) -> str:
    needed = NEEDED.get(split, "data")
    if needed not in _list_sections(manifest):
        return f"it has no '{needed}'; add it or omit the condition"
    forget = manifest.forget
    if split in PARTS_OF_TEST and (forget is None or not (forget.classes or forget.where)):
        return (
            "only a selection by classes or conditions divides data.test; write "
            f"'{'test' if split == 'test_retain' else 'forget'}' instead, or omit the condition"
        )
    return ""


def _list_sections(manifest: Manifest) -> set[str]:
    forgotten = {"forgotten"} if manifest.forgotten else set[str]()
    tested = {"data.test"} if "test" in manifest.sections else set[str]()
    return manifest.sections | forgotten | tested
