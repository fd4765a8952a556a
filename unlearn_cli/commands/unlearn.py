"""`unlearn-cli unlearn`: make a checkpoint forget what a manifest selects; write a new checkpoint and a report."""

import gc
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from unlearn_cli import console
from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.commands.command_text import format_command_line
from unlearn_cli.commands.evaluate import select_computable
from unlearn_cli.commands.gated_splits import check_gated_splits
from unlearn_cli.commands.held_out_checks import check_held_out_classes, skip_rewind_of_classes
from unlearn_cli.commands.manifest_inputs import check_selection, open_manifest
from unlearn_cli.commands.plan import plan_unlearning, show_counts_of_failure
from unlearn_cli.commands.report_result import (
    append_summary,
    check_destinations,
    check_summary,
    export_report,
    to_result,
)
from unlearn_cli.commands.result import Result
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation import recipes, targets
from unlearn_cli.evaluation.lineage import check_references, name_reference
from unlearn_cli.evaluation.run_inputs import (
    Copies,
    RunInputs,
    constant_network,
    find_copies,
    forget_state,
    partial_folder,
    resume_key,
)
from unlearn_cli.plugins import discovery, plugin, suitability
from unlearn_cli.plugins.names import parse_gate, read_manifest
from unlearn_cli.plugins.plugin import Plugin
from unlearn_cli.plugins.run_options import RunOptions, SettingSources
from unlearn_cli.reporting.timestamps import format_now
from unlearn_cli.schema.manifest import Manifest
from unlearn_cli.storage import regular_files

if TYPE_CHECKING:
    from torch import nn

    from unlearn_cli.checkpoints.checkpoint import Checkpoint
    from unlearn_cli.evaluation.predict import Outputs
    from unlearn_cli.evaluation.session import Session
    from unlearn_cli.reporting.report import Report


@dataclass(frozen=True)
class UnlearnOptions:
    """The arguments of `unlearn`, in addition to the `RunOptions`."""

    checkpoint: Path
    manifest: Path
    method: str
    out: Path
    settings: SettingSources = field(default_factory=SettingSources)
    noise: Path | None = None
    references: tuple[Path, ...] = ()
    evaluate: bool = True
    summary: Path | None = None
    log_to: tuple[str, ...] = ()
    dry_run: bool = False


@dataclass(frozen=True)
class Plan:
    """What is done with the inputs: the method with its settings, and what is measured and judged afterwards."""

    method: Plugin
    settings: BaseModel
    metrics: list[str]
    gates: list[str]
    copies: Copies
    unverified: list[str]  # caveats on references


def run(options: UnlearnOptions, run_options: RunOptions) -> Result:
    """Check all inputs, unlearn, measure before and after, and write checkpoint and report together."""
    outputs = () if options.dry_run else (options.out,)
    with claim_output(run_options.overwrite, *outputs):
        return run_with_claim(options, run_options)


def run_with_claim(options: UnlearnOptions, run_options: RunOptions) -> Result:
    """Run `unlearn` while this process holds the claim on its output."""
    check_summary(options.summary)
    check_destinations(options.log_to)
    method = plugin.load("methods", options.method, allow_code=run_options.allow_code)
    settings = plugin.complete_settings(method, options.settings.config, options.settings.assignments)
    manifest = read_manifest(options.manifest, run_options.manifest_folder)
    settings = skip_rewind_of_classes(method, settings, manifest)
    check_manifest(options, method, settings, manifest)
    if options.evaluate and manifest.data:
        check_gated_splits(manifest, manifest.gates, f"{options.manifest}: gates")
    opened = open_selection(options, run_options, manifest, method, settings)
    plan = Plan(
        method,
        settings,
        metrics=choose_metrics(manifest, bool(options.references)),
        gates=manifest.gates,
        copies=find_copies(opened),
        unverified=check_references(options.references, opened),
    )
    console.say(f"unlearn: {method.name} on {options.checkpoint.name}; loading torch")
    method.function()  # refuses code outside of the package that cannot be imported
    if options.dry_run:
        with show_counts_of_failure(opened):
            check_with_torch(options, opened, method)
        return plan_unlearning(opened, method, settings, plan.copies.in_retain)
    return carry_out(options, opened, plan)


def open_selection(
    options: UnlearnOptions, run_options: RunOptions, manifest: Manifest, method: Plugin, settings: BaseModel
) -> RunInputs:
    """Open the data and select what is forgotten; refuse a selection that does not suit the method."""
    opened = open_manifest(
        manifest,
        options.manifest,
        follow_batch_size(method, options.checkpoint, run_options),
        (options.checkpoint, *options.references),
        options.out,
        decode=options.dry_run,
        held_out="held_out" in method.list_inputs(settings),
        alternative=method.find_alternative(settings, "held_out"),
    )
    check_selection(method, opened.dataset, manifest.sections, options.manifest)
    check_held_out_classes(opened)
    if constant := constant_network(opened):
        console.warn(constant)
    return opened


def follow_batch_size(method: Plugin, original: Path, run_options: RunOptions) -> RunOptions:
    """Return the options with the batch size of the original's training, for a method that trains as it was trained.

    Its learning rate suits batches of this size only. --batch-size wins.
    """
    if not method.like_original or "batch_size" in run_options.model_fields_set:
        return run_options
    recipe = recipes.find_recipe_of(original)
    if recipe is None or recipe.batch_size == run_options.batch_size:
        return run_options
    console.say(f"unlearn: batches of {recipe.batch_size} records, as in the training of the original")
    return run_options.model_copy(update={"batch_size": recipe.batch_size})


def check_manifest(options: UnlearnOptions, method: Plugin, settings: BaseModel, manifest: Manifest) -> None:
    """Refuse, before any data is read, a manifest that does not provide the inputs of the method."""
    if manifest.forget is None:
        raise UserError(f"{options.manifest}: has no 'forget' section; add one that selects the records to forget")
    suitability.check(method, manifest.sections, manifest.task, options.manifest, settings)
    if options.noise and "noise" not in method.optional:
        raise UserError(f"--noise: {method.name} does not use noise; omit --noise")
    if options.noise:
        regular_files.require_regular_file(
            options.noise, "--noise", missing="no such file; 'unlearn-cli noise' creates one"
        )


def carry_out(options: UnlearnOptions, opened: RunInputs, plan: Plan) -> Result:
    """Unlearn, measure before and after, and write checkpoint and report together."""
    from unlearn_cli.checkpoints import checkpoint  # torch comes with it: seconds, only after all other checks
    from unlearn_cli.commands.network_check import make_mapping
    from unlearn_cli.commands.unlearned_lineage import describe_lineage
    from unlearn_cli.evaluation import budgets, measuring, session
    from unlearn_cli.evaluation.pictures import take_picture
    from unlearn_cli.reporting import writing
    from unlearn_cli.runtime.output import output_folder

    started = format_now()
    weights, *others = load_all_checkpoints(options, opened)
    partial = partial_folder(options.out, digest_run(options, opened, plan, weights, others))
    scale = targets.choose_target(opened, weights.metadata, options.checkpoint)
    with (
        session.start(opened, partial, scale, options.out) as current,
        output_folder(options.out, overwrite=opened.common.overwrite) as folder,
    ):
        evaluated = options.evaluate and bool(opened.dataset.splits)
        model, given, before, backward = run_method(current, options, plan, weights, others, evaluated)
        collect_networks(weights)  # those of the method; a sharded network contains reference cycles
        current.run.cost = budgets.count_epochs(current.run.cost, backward, weights, count_retain(opened, given))
        lineage = describe_lineage(current, plan.method, plan.settings, weights, scale)
        with current.run.measure_time("files"):
            path = checkpoint.save(folder, model.state_dict(), lineage, weights)
            current.write_companions(folder, model, weights)
        del model  # from here on it is loaded from its file, like the other checkpoints
        subject = checkpoint.load(path, make_mapping(opened))
        roles = {"original": weights, "subject": subject, **name_references(others)}
        measurements = measuring.measure_checkpoints(current, roles, before, plan.metrics) if evaluated else {}
        document = compose_report(options, plan, current, roles, started, inputs=given, **measurements)
        writing.write_report(document, folder, take_picture(current, "noise"), pages=opened.common.pages)
        writing.write_card(document, folder, opened.network.model.public_name, opened.network.input.shape)
    forget_state(partial)
    return publish(document, options, pages=opened.common.pages)


def digest_run(
    options: UnlearnOptions, opened: RunInputs, plan: Plan, weights: "Checkpoint", references: "Sequence[Checkpoint]"
) -> str:
    """Return the key under which an interrupted run is resumed: a digest of everything that the result depends on."""
    from unlearn_cli.commands.unlearned_lineage import digest_code

    return resume_key(
        opened,
        plan.settings,
        checkpoint=weights.tensor_digest,
        method=plan.method.name,
        noise=regular_files.sha256(options.noise) if options.noise else None,
        level=[reference.tensor_digest for reference in references] if plan.method.level_step else [],
        **digest_code(plan.method),
    )


def name_references(references: "Sequence[Checkpoint]") -> "dict[str, Checkpoint]":
    return {name_reference(number): reference for number, reference in enumerate(references)}


def compose_report(
    options: UnlearnOptions,
    plan: Plan,
    current: "Session",
    roles: "Mapping[str, Checkpoint]",
    started: str,
    **fields: Any,
) -> "Report":
    """Return the report with its gates; `fields` are the inputs of the method and the measurements."""
    from unlearn_cli.evaluation import budgets
    from unlearn_cli.reporting import composing

    opened, references = current.opened, [roles[role] for role in roles if role not in ("original", "subject")]
    document = composing.compose_report(
        current,
        "unlearn",
        started,
        command_line=format_command_line("unlearn", options, opened.common),
        method=plan.method.name,
        code=composing.describe_code([plan.method]),
        settings=plan.settings.model_dump(mode="json"),
        found=current.run.chosen_settings,
        subject=composing.describe_checkpoint(roles["subject"], "subject"),
        original=composing.describe_checkpoint(roles["original"], "original"),
        references=composing.describe_references(references),
        caveats=[
            *composing.list_caveats(opened, bool(references), plan.copies),
            *plan.unverified,
            *budgets.describe_excess(roles["subject"].metadata, [reference.metadata for reference in references]),
            *CAVEATS,
            *current.run.notes,
        ],
        **fields,
    )
    composing.add_gates(document, plan.gates, force=opened.common.force)
    return document


def publish(document: "Report", options: UnlearnOptions, *, pages: bool) -> Result:
    """Show the report, and add it to the summary and the trackers that the options name."""
    from unlearn_cli.reporting.terminal import format_report

    append_summary(document, options.summary)
    export_report(document, options.log_to)
    console.show(format_report(document, options.out, pages=pages))
    return to_result(document, str(options.out), options.out)


def count_retain(opened: RunInputs, inputs: Iterable[str]) -> int | None:
    """Return the number of records of retain; None if it is not among the inputs of the method."""
    reads_retain = bool({"retain", "retain_inputs"} & set(inputs))
    return len(opened.dataset.split("retain")) if reads_retain else None


def check_with_torch(options: UnlearnOptions, opened: RunInputs, method: Plugin) -> None:
    """Check the network, its checkpoints, the device and the noise, which needs torch."""
    from unlearn_cli.evaluation import session

    weights = load_all_checkpoints(options, opened)[0]
    scale = targets.choose_target(opened, weights.metadata, options.checkpoint)
    with session.start(opened, target=scale) as current:
        load_original(current, options, method, weights)
        if options.noise:
            from unlearn_cli.evaluation.plugin_inputs import check_noise  # imports SciPy: 0.8 s

            check_noise(options.noise, tuple(opened.network.input.shape), opened.dataset.forget_classes)


def load_all_checkpoints(options: UnlearnOptions, opened: RunInputs) -> "list[Checkpoint]":
    """Load the checkpoint and the references; each must fit the manifest's network."""
    from unlearn_cli.commands.network_check import load_checkpoints

    references = {name_reference(number): path for number, path in enumerate(options.references)}
    return list(load_checkpoints(opened, {"original": options.checkpoint, **references}).values())


def load_original(current: "Session", options: UnlearnOptions, method: Plugin, weights: "Checkpoint") -> "nn.Module":
    """Load the original and check that it is better than chance on train."""
    from unlearn_cli.evaluation.fit_checks import check_fits

    original = current.load(weights, whole=method.whole)
    if current.opened.dataset.splits:
        check_fits(current, original, weights, options.checkpoint)
    return original


def run_method(
    current: "Session",
    options: UnlearnOptions,
    plan: Plan,
    weights: "Checkpoint",
    references: "list[Checkpoint]",
    evaluated: bool,
) -> "tuple[nn.Module, list[str], dict[str, Outputs], int]":
    """Return the unlearned network, the names of the method's inputs, the outputs of the original, and the samples
    that went backward through the network.

    All other networks are freed on return, so that none of them is in memory while the result is written and measured.
    """
    from torch import nn

    from unlearn_cli.evaluation.levels import apply_level_step
    from unlearn_cli.evaluation.measuring import predict_splits
    from unlearn_cli.evaluation.plugin_inputs import make_method_inputs
    from unlearn_cli.learning.training import explain_single_values

    method, settings = plan.method, plan.settings
    original: Any = load_original(current, options, method, weights)
    before = predict_splits(current, original, "original") if evaluated else {}
    if "original" not in method.needs:
        original = None
        collect_networks(weights)
    inputs = make_method_inputs(current, method, settings, weights, original, options.noise)
    networks = {name: inputs[name] for name in NETWORKS if name in inputs}
    current.run.prepare_optimizers()
    with current.run.measure_time("unlearn"), current.run.count_samples(**networks):
        with current.run.autocast(), explain_single_values():
            model = method.call(inputs, settings, (nn.Module,))
        apply_level_step(current, model, method, settings, weights, references)
    current.settle(model, weights)
    current.run.has_new_weights = model is networks.get("fresh")
    backward = sum(current.run.backward[name] for name, network in networks.items() if network is model)
    return model, sorted(inputs), before, backward


def collect_networks(weights: "Checkpoint") -> None:
    """Free unused networks that contain reference cycles; for small networks a collection costs more than it gains."""
    if sum(tensor.numel() for tensor in weights.tensors.values()) > SMALL_NETWORK:
        gc.collect()


CAVEATS = ["No attack was run: 'unlearn-cli attack' tries to distinguish forgotten records from never-seen ones."]
SMALL_NETWORK = 10**6  # parameters
NETWORKS = ("model", "original", "fresh", "incompetent_teacher")


def choose_metrics(manifest: Manifest, with_references: bool) -> list[str]:
    """Return the metrics of the task and of the gates whose inputs are available."""
    task, given = manifest.task, {"original", *(["reference"] if with_references else [])}
    judged = [parse_gate(condition, task).metric for condition in manifest.gates]
    names = list(dict.fromkeys([*discovery.list_default_metrics(task), *judged]))
    return select_computable(names, manifest.sections | given, ())
