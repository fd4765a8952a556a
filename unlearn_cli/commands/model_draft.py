"""The model's part of a drafted manifest: from the configuration in its folder, or from the tensors of a checkpoint."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_cli.checkpoints.checkpoint import Checkpoint
from unlearn_cli.checkpoints.tensor_facts import Head, find_channels, find_head, find_named_head, list_output_counts
from unlearn_cli.checkpoints.tensor_names import NameMapping, find_common_prefix
from unlearn_cli.commands.manifest_draft import Value
from unlearn_cli.console import pluralize
from unlearn_cli.data.layouts.layout import DataLayout
from unlearn_cli.errors import UserError
from unlearn_cli.models.matching import Match, adapt_stated, find_matches, find_renamed_match, fits
from unlearn_cli.models.preprocessing import Preprocessing, read_preprocessing
from unlearn_cli.models.stated_network import CONFIG, StatedNetwork, read_stated_network
from unlearn_cli.schema.network_sections import is_own_code

if TYPE_CHECKING:
    from torch import Tensor

PLACEHOLDER = "package.module:function"
SIZES = ("resize", "crop")  # keys of `input`
IMAGE_SIDE = 224  # with which ImageNet's networks are evaluated
MOST_TOKENS = 128  # of a text for a network of transformers
RENAMED = "names in the checkpoint: names of the network with equal shapes"
WORDS = 32  # of a text, where nothing states their number


@dataclass(frozen=True)
class ModelDraft:
    """Keys of the sections `model` and `input`, the names of the outputs in their order, and the number of outputs."""

    model: Mapping[str, Value]
    num_outputs: int
    shape: Sequence[int] | None = None  # of a sample, if the model or its files decide it
    input: Mapping[str, Value] = field(default_factory=dict)
    size_remark: str = ""  # what its files state about sizes of images and no key of `input` expresses
    names: Sequence[str] = ()
    origin: str = ""  # of the names
    transform: Sequence[Mapping[str, Any]] = ()
    is_multilabel: bool = False  # the network's files state it
    head: str = ""  # the name of the probable last layer
    has_head: bool = True  # a layer can be the last one, or the user names the network

    @property
    def is_complete(self) -> bool:
        """Whether the network can be built."""
        return self.model["architecture"].value != PLACEHOLDER


def draft_model(
    path: Path,
    weights: Checkpoint,
    layout: DataLayout,
    folder: Path,
    architecture: str | None = None,
    *,
    allow_code: bool = False,
) -> ModelDraft:
    """Return the draft for a checkpoint; `folder` is that of the manifest.

    Without a given architecture, a `config.json` next to the weights names the network, or the tensors are compared
    with known networks. With `allow_code`, the user's own one is built to compare names.
    """
    head = find_head(weights.tensors)
    draft = _draft(path, weights, layout, folder, architecture)
    named = str(draft.model["architecture"].value)
    if draft.is_complete and not named.startswith("transformers/") and (allow_code or not is_own_code(named)):
        draft = _adapt_names(draft, weights, layout)
    draft = replace(draft, has_head=head is not None or draft.is_complete)
    return replace(draft, head=head.name) if head and head.num_outputs == draft.num_outputs else draft


def _adapt_names(draft: ModelDraft, weights: Checkpoint, layout: DataLayout) -> ModelDraft:
    """Return the draft with the prefix and the renamed parts with which the tensors fit, if they do not fit without."""
    keys = {key: value.value for key, value in draft.model.items()}
    match = Match(keys["architecture"], keys.get("arguments", {}), keys.get("stem"))
    shape = draft.shape or layout.shape
    if "prefix" in keys or "rename" in keys or fits(match, weights.tensors, shape, draft.num_outputs):
        return draft
    adapted = adapt_stated(match, weights.tensors, shape, draft.num_outputs)
    return replace(draft, model={**draft.model, **_draft_match_keys(adapted)})


def _draft(path: Path, weights: Checkpoint, layout: DataLayout, folder: Path, architecture: str | None) -> ModelDraft:
    if architecture:
        num_outputs = guess_outputs(weights.tensors, layout)
        arguments = {"arguments": Value({"num_classes": num_outputs})} if ":" in architecture else {}
        return ModelDraft({"architecture": Value(architecture), **arguments}, num_outputs)
    home = path if path.is_dir() else path.parent
    network = read_stated_network(home)
    if network is None:
        return _draft_from_tensors(weights, layout)
    return _draft_stated(network, home, folder, weights, layout)


def _draft_stated(
    network: StatedNetwork, home: Path, folder: Path, weights: Checkpoint, layout: DataLayout
) -> ModelDraft:
    """Return the draft for a network that the config.json in the folder `home` states.

    Raises:
        UserError: the network has no classifier, or the weights have another number of outputs than transformers reads.
    """
    if network.other_use:
        raise UserError(
            f"{home}: {CONFIG} names {network.other_use}, which has no last layer for classes; name a checkpoint that "
            "was trained for classification or regression"
        )
    head = find_named_head(weights.tensors)
    if head and network.num_outputs not in (None, head.num_outputs):
        network = _correct_outputs(network, head, home)
    relative = Path(os.path.relpath(home, folder)).as_posix()
    is_timm = network.library == "timm"
    name, reason = (network.name, CONFIG) if is_timm else (relative, f"{CONFIG}: {network.name}")
    draft = ModelDraft(
        {"architecture": Value(f"{network.library}/{name}", reason)},
        num_outputs=network.num_outputs or guess_outputs(weights.tensors, layout),
        names=network.classes,
        origin=f"from {CONFIG}" if network.classes else "",
        is_multilabel=network.is_multilabel,
    )
    if layout.kind == "images":
        return _add_preprocessing(draft, read_preprocessing(home), network.shape)
    return _add_tokenizer(draft, relative, network, layout) if layout.kind == "text" else draft


def _correct_outputs(network: StatedNetwork, head: Head, home: Path) -> StatedNetwork:
    """Return the network with the outputs that the weights have, where timm reads the weights without the file.

    Raises:
        UserError: transformers would build another last layer than that of the weights.
    """
    if network.library == "timm":
        return replace(network, num_outputs=head.num_outputs, classes=())
    raise UserError(
        f"{home}: {CONFIG} states {pluralize(network.num_outputs or 0, 'class', 'classes')} (id2label), but the last "
        f"layer of the weights, {head.name}, has {pluralize(head.num_outputs, 'output')}; correct the file"
    )


def _add_tokenizer(draft: ModelDraft, folder: str, network: StatedNetwork, layout: DataLayout) -> ModelDraft:
    """Add the step that turns text into numbers of tokens, with the tokenizer of the model's folder."""
    length = min(network.most_tokens or MOST_TOKENS, MOST_TOKENS)
    pair = {"pair": True} if list(layout.shape) == [2] else {}
    step = {"tokens": {"length": length, "tokenizer": folder, **pair}}
    return replace(draft, shape=[1, length] if pair else [layout.shape[0], length], transform=[step])


def _add_preprocessing(draft: ModelDraft, stated: Preprocessing | None, shape: Sequence[int] | None) -> ModelDraft:
    """Add the keys of `input` that files state."""
    if stated is None:
        return replace(draft, shape=shape)
    remark = "; ".join(stated.remarks)
    reasons = {key: Value(value, f"{stated.file}: {remark}", guessed=True) for key, value in stated.keys.items()}
    keys = {
        key: reasons[key] if remark and key in SIZES else Value(value, stated.file)
        for key, value in stated.keys.items()
        if key != "shape"
    }
    return replace(draft, shape=stated.keys.get("shape", shape), input=keys, size_remark=remark)


def _draft_from_tensors(weights: Checkpoint, layout: DataLayout) -> ModelDraft:
    """Return the draft for tensors without a configuration, perhaps with a prefix before all names."""
    for prefix in dict.fromkeys(("", find_common_prefix(weights.tensors))):
        tensors = _strip(weights.tensors, prefix)
        counts = list_output_counts(tensors, len(layout.classes) or 1)
        for shape, num_outputs in product(_list_shapes(tensors, layout), counts):
            matches = find_matches(tensors, shape, num_outputs)
            if matches:
                return _draft_match(matches, prefix, num_outputs, shape, layout)
    return _draft_renamed(weights, layout) or _draft_unknown(weights, layout)


def _draft_renamed(weights: Checkpoint, layout: DataLayout) -> ModelDraft | None:
    """Return the draft for tensors with other names than those of a known network; None if none has their shapes."""
    counts = list_output_counts(weights.tensors, len(layout.classes) or 1)
    for shape, num_outputs in product(_list_shapes(weights.tensors, layout), counts):
        match = find_renamed_match(weights.tensors, shape, num_outputs)
        if match:
            return _draft_match([match], match.prefix, num_outputs, shape, layout)
    return None


def _draft_unknown(weights: Checkpoint, layout: DataLayout) -> ModelDraft:
    reason = "no known architecture fits the tensors; name the function that builds yours"
    architecture = Value(PLACEHOLDER, reason, guessed=True)
    return ModelDraft({"architecture": architecture}, guess_outputs(weights.tensors, layout))


def guess_outputs(tensors: "Mapping[str, Tensor]", layout: DataLayout) -> int:
    """Return the likeliest number of outputs."""
    expected = len(layout.classes) or 1
    return next(iter(list_output_counts(tensors, expected)), expected)


def _strip(tensors: "Mapping[str, Tensor]", prefix: str) -> "dict[str, Tensor]":
    renamed = NameMapping(prefix).apply(tensors)
    return {new: tensors[old] for old, new in renamed.items()}


def _draft_match(
    matches: Sequence[Match], prefix: str, num_outputs: int, shape: Sequence[int], layout: DataLayout
) -> ModelDraft:
    match, *others = matches
    reason = f"all tensors fit; so do {', '.join(other.architecture for other in others)}" if others else "all fit"
    model = {"architecture": Value(match.architecture, reason if others else "all tensors fit", bool(others))}
    one_logit = {"num_classes": 1} if _is_one_logit(num_outputs, layout) else {}
    arguments = {**match.arguments, **one_logit}
    model |= _draft_match_keys(replace(match, arguments=arguments, prefix=prefix))
    transform: list[Mapping[str, Any]] = []
    if layout.kind == "text":
        buckets = match.arguments.get("buckets", 2)
        transform = [{"tokens": {"length": shape[-1], "buckets": buckets}}]
    return ModelDraft(model, num_outputs, list(shape), transform=transform)


def _draft_match_keys(match: Match) -> dict[str, Value]:
    """Return the keys of `model` next to the architecture."""
    keys = {
        "arguments": Value(dict(match.arguments)),
        "stem": Value(match.stem, "a 3x3 first convolution"),
        "prefix": Value(match.prefix, "in front of the network's names"),
        "rename": Value(dict(match.rename), RENAMED, guessed=True),
    }
    return {key: value for key, value in keys.items() if value.value}


def _is_one_logit(num_outputs: int, layout: DataLayout) -> bool:
    return num_outputs == 1 and layout.task == "classification"


def _list_shapes(tensors: "Mapping[str, Tensor]", layout: DataLayout) -> list[list[int]]:
    """Return the shapes of samples to try: as stored, and for images with the channels and the size of the network."""
    if layout.kind == "text":
        return [[*layout.shape, WORDS]]
    if layout.kind == "numbers":
        return [list(layout.shape)]
    stored = [find_channels(tensors) or layout.shape[0], *layout.shape[1:]]
    side = [IMAGE_SIDE] * 2
    position = tensors.get("encoder.pos_embedding")  # of torchvision's vision transformers
    if position is not None and "conv_proj.weight" in tensors:
        side = [round((position.shape[1] - 1) ** 0.5) * tensors["conv_proj.weight"].shape[-1]] * 2
        return [[stored[0], *side]]
    return [stored, [stored[0], *side]] if layout.same_size else [[stored[0], *side], stored]
