"""`unlearn-cli noise`: learn error-maximising or error-minimising noise for classes, without data."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from unlearn_cli import console
from unlearn_cli.commands.claiming import claim_output
from unlearn_cli.commands.manifest_inputs import check_device_and_code, check_files, open_data
from unlearn_cli.commands.result import Result
from unlearn_cli.data.labels import find_class_numbers
from unlearn_cli.errors import UserError
from unlearn_cli.evaluation.run_inputs import RunInputs
from unlearn_cli.plugins import plugin
from unlearn_cli.plugins.names import read_manifest
from unlearn_cli.plugins.run_options import RunOptions, SettingSources
from unlearn_cli.storage import atomic_files
from unlearn_cli.storage.version import VERSION

if TYPE_CHECKING:
    from unlearn_cli.checkpoints.checkpoint import Checkpoint
    from unlearn_cli.evaluation.pictures import Picture
    from unlearn_cli.learning.noise import Noise


@dataclass(frozen=True)
class NoiseOptions:
    """The arguments of `noise`, in addition to the `RunOptions`."""

    checkpoint: Path
    manifest: Path
    out: Path
    classes: tuple[str, ...] = ()
    settings: SettingSources = field(default_factory=SettingSources)
    dry_run: bool = False


def run(options: NoiseOptions, run_options: RunOptions) -> Result:
    """Learn the noise; write it as safetensors, and a picture of it next to that file."""
    outputs = () if options.dry_run else (options.out,)
    with claim_output(run_options.overwrite, *outputs):
        return run_with_claim(options, run_options)


def run_with_claim(options: NoiseOptions, run_options: RunOptions) -> Result:
    """Run `noise` while this process holds the claim on its output."""
    learner = plugin.inspect("noise", "learn_noise", "unlearn_cli.learning.noise")
    settings = plugin.complete_settings(learner, options.settings.config, options.settings.assignments)
    opened = open_classifier(options, run_options)
    classes = choose_classes(options.classes, opened)
    console.say(f"noise: {options.checkpoint.name}; loading torch")
    from unlearn_cli.commands.network_check import load_checkpoints  # imports torch: seconds, after all other checks
    from unlearn_cli.evaluation import session
    from unlearn_cli.evaluation.fit_checks import check_logits
    from unlearn_cli.evaluation.pictures import take_picture

    weights = load_checkpoints(opened, {"original": options.checkpoint})["original"]
    with session.start(opened) as current, current.run.autocast():
        original = current.load(weights)
        check_logits(current, original)
        if options.dry_run:
            return plan_noise(classes, opened, settings)
        inputs = {
            "original": original,
            "forget_classes": classes,
            "random": current.run.random,
            "input_shape": tuple(opened.network.input.shape),
        }
        noise = learner.call(inputs, settings)
        picture = take_picture(current, "noise")
    assert picture is not None
    write_noise(options.out, noise, picture, weights, replace=run_options.overwrite)
    return describe_result(options.out, classes, noise, settings)


def open_classifier(options: NoiseOptions, run_options: RunOptions) -> RunInputs:
    """Check the outputs and open manifest and data; refuse a manifest that is not of a classification."""
    if options.out.suffix != ".safetensors":
        raise UserError(f"--out {options.out}: noise is written as a .safetensors file; use that suffix")
    manifest = read_manifest(options.manifest, run_options.manifest_folder)
    if manifest.task != "classification":
        raise UserError(f"{options.manifest}: noise is learned for classes, but the manifest's task is {manifest.task}")
    check_device_and_code(options.manifest, manifest.network_sections, run_options)
    check_files(options.manifest, manifest.data_sections, run_options, (options.checkpoint,), options.out, "file")
    atomic_files.check_output(name_picture(options.out), run_options.overwrite, "file")
    return open_data(manifest, options.manifest, run_options, out=options.out)


def name_picture(out: Path) -> Path:
    return out.with_suffix(".png")


def write_noise(out: Path, noise: "Noise", picture: "Picture", weights: "Checkpoint", *, replace: bool) -> None:
    """Write the noise and its picture together."""
    from unlearn_cli.learning.noise import save_noise
    from unlearn_cli.reporting.writing import draw_captioned_noise

    lineage = {"unlearn_cli.parent": weights.tensor_digest, "unlearn_cli.version": VERSION}
    with (
        atomic_files.output_file(out, replace=replace) as new,
        atomic_files.output_file(name_picture(out), replace=replace) as new_picture,
    ):
        save_noise(new, noise, lineage)
        new_picture.write_bytes(draw_captioned_noise(picture))


def describe_result(out: Path, classes: list[int], noise: "Noise", settings: BaseModel) -> Result:
    """Return the paths of noise and picture, and the loss while it was learned."""
    document = {
        "noise": str(out),
        "picture": str(name_picture(out)),
        "classes": classes,
        "curve": [float(value) for value in noise.curve],
        "settings": settings.model_dump(),
    }
    return Result(str(out), document)


def plan_noise(classes: list[int], opened: RunInputs, settings: BaseModel) -> Result:
    """Return the classes and the settings that the run would use, without learning."""
    names = opened.dataset.classes or []
    shown = ", ".join(names[number] if names else str(number) for number in classes)
    values = settings.model_dump(mode="json")
    lines = [f"classes: {shown}", f"settings: {', '.join(f'{name}={value}' for name, value in values.items())}"]
    return Result("\n".join(lines), {"classes": classes, "settings": values})


def choose_classes(names: tuple[str, ...], opened: RunInputs) -> list[int]:
    """Return the class numbers of --class; default: the classes that the manifest forgets.

    Raises:
        UserError: a class is unknown or named twice, or neither --class nor the manifest names one.
    """
    classes = opened.dataset.classes or []
    if names:
        # Only a number in its usual form is a position: 03 is a name, and so is '²', which int() refuses.
        values = [int(name) if re.fullmatch("0|[1-9][0-9]{0,8}", name) else name for name in names]
        for value in values:
            if values.count(value) > 1:
                raise UserError(f"--class {value}: the class is named twice; name it once")
        return find_class_numbers(values, classes, "--class")
    if not opened.dataset.forget_classes:
        raise UserError(f"{opened.path}: 'forget' names no whole classes; name them with --class")
    return opened.dataset.forget_classes
