"""Checks that the metrics and architectures in a manifest exist; `schema` itself does not import plug-ins."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.plugins import discovery
from unlearn_cli.schema import gates, manifest
from unlearn_cli.schema.gates import GateCondition
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.name_checker import NameChecker


def read_manifest(path: Path, folder: Path | None = None, own_metrics: Collection[str] = ()) -> Manifest:
    """Read and check a manifest, including its metrics and architectures; see `manifest.read`.

    `own_metrics` are metrics outside of the package that are also computed; gates may name them.

    Raises:
        UserError: with all mistakes, each with file, line, column, field and the nearest known key or name.
    """
    return manifest.read(path, PluginNames(own_metrics), folder)


def parse_gate(text: str, task: str, own_metrics: Collection[str] = ()) -> GateCondition:
    """Parse a condition, and refuse a metric that does not exist or is not defined for the task.

    `own_metrics`: as for `read_manifest`.

    Raises:
        UserError: the condition is wrong.
    """
    condition = gates.parse_condition(text)
    PluginNames(own_metrics).check_gate(condition, task)
    return condition


@dataclass(frozen=True)
class PluginNames(NameChecker):
    """The names of metrics and architectures that exist."""

    own_metrics: Collection[str] = ()

    def check_architecture(self, name: str) -> None:
        bundled = discovery.entries("models")
        if name not in bundled:
            raise UserError(
                f"'{name}' is not a bundled architecture; {did_you_mean(name, bundled)}; or torchvision/<name>"
            )

    def check_gate(self, condition: GateCondition, task: str) -> None:
        text, metric = condition.text, condition.metric
        if metric in self.own_metrics:
            return
        if metric not in discovery.entries("metrics"):
            hint = did_you_mean(metric, discovery.entries("metrics"))
            raise UserError(
                f"condition '{text}': unknown metric '{metric}'; {hint}; your own metric needs 'evaluate --metric "
                "FILE.py:FUNCTION'"
            )
        allowed = discovery.list_metrics_of(task)
        if metric not in allowed:
            raise UserError(
                f"condition '{text}': '{metric}' is not defined for {task}; choose from {', '.join(allowed)}"
            )
