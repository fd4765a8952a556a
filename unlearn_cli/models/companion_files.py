"""Files next to a result's weights with which transformers and timm load it: config.json, tokenizer, preprocessor.

They are copied from the folder of the architecture (transformers) or of the original checkpoint. A config.json that
disagrees with the network is written anew.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearn_cli.models.config_files import COUNTS, find_config, read_config
from unlearn_cli.schema.data_sections import Input
from unlearn_cli.schema.literals import Task
from unlearn_cli.schema.network_sections import NetworkSections
from unlearn_cli.storage.regular_files import read_regular

CONFIG = "config.json"
NAMES = (
    CONFIG,
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
PROBLEMS: dict[Task, str] = {"multilabel": "multi_label_classification", "regression": "regression"}
MOST_BYTES = 64 * 2**20  # of one of them


@dataclass(frozen=True)
class Result:
    """A network that is written: `network` is the name of its class, `original` the path of the checkpoint before."""

    sections: NetworkSections
    classes: Sequence[str] | None
    num_outputs: int
    network: str
    original: Path | None
    task: Task = "classification"

    @property
    def stored_outputs(self) -> int:
        """The outputs of the network itself: 1 for two classes with one logit."""
        arguments = self.sections.model.arguments
        return next((arguments[name] for name in COUNTS if name in arguments), self.num_outputs)

    @property
    def names(self) -> list[str] | None:
        """The names of the network's outputs."""
        return list(self.classes) if self.classes and len(self.classes) == self.stored_outputs else None


def write_companions(folder: Path, result: Result) -> None:
    """Write the files for a network into the folder of a result.

    Raises:
        UserError: a file cannot be read.
    """
    library, _, name = result.sections.model.architecture.partition("/")
    files = _copy(_list_sources(result.sections, result.original), folder)
    if library == "transformers":
        _write(folder / CONFIG, complete_config(find_config(result.sections.folder, name), result))
    if library == "timm" and CONFIG not in files:
        _write(folder / CONFIG, make_timm_config(name, result))


def copy_companions(checkpoint: Path, folder: Path) -> None:
    """Copy the files next to a checkpoint, a file or a folder, into another folder.

    Raises:
        UserError: a file cannot be read.
    """
    source = checkpoint if checkpoint.is_dir() else checkpoint.parent
    _copy([source] if (source / CONFIG).is_file() else [], folder)


def _list_sources(sections: NetworkSections, original: Path | None) -> list[Path]:
    """Return the folders with such files, the most important first: those that have a config.json."""
    library, _, name = sections.model.architecture.partition("/")
    folders = [find_config(sections.folder, name).parent] if library == "transformers" else []
    if original is not None:
        folders.append(original if original.is_dir() else original.parent)
    return [folder for folder in folders if (folder / CONFIG).is_file()]


def _copy(sources: Sequence[Path], folder: Path) -> set[str]:
    """Copy the files of these folders, of which the first has priority, and return their names."""
    files = {name: source / name for source in reversed(sources) for name in NAMES if (source / name).is_file()}
    for name, file in files.items():
        (folder / name).write_bytes(read_regular(file, MOST_BYTES))
    return set(files)


def complete_config(path: Path, result: Result) -> dict[str, Any]:
    """Return a config.json of transformers with the arguments, the class and the number of outputs of the network.

    Labels are replaced by the manifest's classes only where their number differs.
    """
    arguments = {name: value for name, value in result.sections.model.arguments.items() if name not in COUNTS}
    config = {"architectures": [result.network], **read_config(path), **arguments}
    if result.task in PROBLEMS:
        config["problem_type"] = PROBLEMS[result.task]
    labels, count = config.get("id2label"), result.stored_outputs
    stated = len(labels) if isinstance(labels, dict) else config.get("num_labels", 2)
    if stated == count:
        return config
    config.pop("num_labels", None)
    names = result.names or [f"LABEL_{i}" for i in range(count)]
    return {
        **config,
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }


def make_timm_config(name: str, result: Result) -> dict[str, Any]:
    """Return a config.json with which `timm.create_model('local-dir:FOLDER', pretrained=True)` loads the network."""
    section, count = result.sections.input, result.stored_outputs
    arguments = {key: value for key, value in result.sections.model.arguments.items() if key != "num_classes"}
    channels = {"in_chans": section.shape[0]} if len(section.shape) == 3 else {}
    return {
        "architecture": name.partition(".")[0],
        "num_classes": count,
        "model_args": {"num_classes": count, **channels, **arguments},
        **({"label_names": result.names} if result.names else {}),
        "pretrained_cfg": {"num_classes": count, "custom_load": False, **_describe_input(section)},
    }


def _describe_input(section: Input) -> dict[str, Any]:
    """Describe the preprocessing as timm does."""
    channels, height, *_ = [*section.shape, 1]
    per_channel = {
        name: value if isinstance(value, list) else [value] * channels
        for name, value in (("mean", section.mean), ("std", section.std))
    }
    resize = section.resize
    both = isinstance(resize, list)
    side = resize[0] if isinstance(resize, list) else resize or height
    mode = "squash" if both else "center"
    return {
        "input_size": list(section.shape),
        **per_channel,
        "interpolation": section.interpolation,
        "crop_pct": height / side,
        "crop_mode": mode,
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
