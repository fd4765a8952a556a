"""The protocol of checking names in a manifest; `plugins` implements it, because `schema` does not import plug-ins."""

from typing import Protocol

from unlearn_cli.schema.gates import GateCondition


class NameChecker(Protocol):
    """Checks that the names in a manifest exist; each check raises `UserError` if not."""

    def check_architecture(self, name: str) -> None: ...

    def check_gate(self, condition: GateCondition, task: str) -> None: ...
