"""Do the names in a manifest exist? Its metrics and architectures are looked up here, for `schema` knows none."""

from collections.abc import Collection
from pathlib import Path

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.plugins import discovery
from unlearn_cli.schema import gates, manifest
from unlearn_cli.schema.gates import GateCondition
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.schema.name_checker import NameChecker


def read_manifest(path: Path, folder: Path | None = None) -> Manifest:
    """Read and check a manifest, the names of metrics and architectures in it too; see `manifest.read`.

    Raises:
        UserError: all that is wrong with it, each with file, line, column, field and the nearest known key or name.
    """
    return manifest.read(path, PluginNames(), folder)


def parse_gate(text: str, task: str, own_metrics: Collection[str] = ()) -> GateCondition:
    """Read a condition, and refuse a metric that does not exist or is not defined for the task.

    `own_metrics` names the functions outside of the package that are computed as well.

    Raises:
        UserError: says what is wrong with the condition.
    """
    condition = gates.parse_condition(text)
    if condition.metric not in own_metrics:
        PluginNames().check_gate(condition, task)
    return condition


class PluginNames(NameChecker):
    """The names of metrics and architectures that exist."""

    def check_architecture(self, name: str) -> None:
        bundled = discovery.entries("models")
        if name not in bundled:
            raise UserError(
                f"'{name}' is no bundled architecture; {did_you_mean(name, bundled)}; or torchvision/<name>"
            )

    def check_gate(self, condition: GateCondition, task: str) -> None:
        text, metric = condition.text, condition.metric
        if metric not in discovery.entries("metrics"):
            hint = did_you_mean(metric, discovery.entries("metrics"))
            raise UserError(f"condition '{text}': no metric '{metric}'; {hint}")
        allowed = discovery.metrics_of(task)
        if metric not in allowed:
            raise UserError(
                f"condition '{text}': '{metric}' is not defined for {task}; defined are {', '.join(allowed)}"
            )
