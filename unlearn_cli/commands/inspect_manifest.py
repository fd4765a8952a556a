"""`inspect` of a manifest: whether its network, its data and its selection fit together, cheaply first."""

from typing import Any

from unlearn_cli.commands.inspect_options import InspectOptions
from unlearn_cli.commands.manifest_inputs import open_inputs
from unlearn_cli.commands.plan import split_counts
from unlearn_cli.commands.result import Result
from unlearn_cli.console import pluralize
from unlearn_cli.data.notices import describe_notices
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.plugins.run_options import RunOptions


def run(options: InspectOptions) -> Result:
    """Open the data of a manifest, decode its images, and build its network.

    Raises:
        UserError: something does not fit.
    """
    opened = open_inputs(options.path, RunOptions(device="cpu", allow_code=options.allow_code), decode=True)
    from unlearn_cli.commands.network_check import check_network  # torch: only after the data is known to fit

    network = check_network(opened)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return describe(opened, parameters)


def describe(opened: RunInputs, parameters: int) -> Result:
    """Return the counts of records and the size of the network."""
    text, counts = split_counts(opened)
    section = opened.network.model
    document: dict[str, Any] = {
        "kind": "manifest",
        "task": opened.dataset.task,
        "architecture": section.architecture,
        "parameters": parameters,
        "outputs": opened.dataset.num_outputs,
        "classes": opened.dataset.classes,
        "splits": counts,
        "notices": describe_notices(opened.dataset.notices),
        "images_decoded": opened.dataset.images_decoded,
    }
    shape = opened.network.input.shape
    size, outputs = pluralize(parameters, "parameter", grouped=True), pluralize(opened.dataset.num_outputs, "output")
    network = f"{section.architecture}: {size}, input {shape}, {outputs}"
    return Result("\n".join(filter(None, [network, text, "network, data and selection fit together"])), document)
