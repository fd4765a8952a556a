"""The check of names in a manifest, which `plugins` makes: this package does not know which plug-ins exist."""

from typing import Protocol

from unlearn_cli.schema.gates import GateCondition


class NameChecker(Protocol):
    """Checks whether what a manifest names exists; each check raises `UserError` if not."""

    def check_architecture(self, name: str) -> None: ...

    def check_gate(self, condition: GateCondition, task: str) -> None: ...
