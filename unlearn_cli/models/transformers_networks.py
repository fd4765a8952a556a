"""Networks of the library transformers (extra `transformers`), built from a config.json with random weights.

Neither code nor weights of the folder are read: `auto_map` is ignored, and nothing is downloaded. Images enter as
`pixel_values`; text enters as numbers of tokens (B, L), from which the attention mask follows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unlearn_cli.errors import UserError, did_you_mean
from unlearn_cli.models.config_files import COUNTS, find_separator, read_config
from unlearn_cli.models.construction import MISTAKES, construct, import_extra
from unlearn_cli.models.saved_names import use_saved_names

OF_CODE_OR_FILES = {"auto_map", "quantization_config", "attn_implementation", "_attn_implementation", "_name_or_path"}


def build_transformers(
    path: Path, arguments: Mapping[str, Any], input_shape: Sequence[int], num_outputs: int
) -> nn.Module:
    """Return the network of a config.json: for images where `input_shape` is (C, H, W), for text otherwise.

    `arguments` replace values of the file. The names of its tensors are those of `save_pretrained`.

    Raises:
        UserError: transformers is not installed, the file is wrong, or no network for classification or regression
            belongs to it.
    """
    transformers = import_extra("transformers")
    transformers.logging.set_verbosity_error()
    config = _make_config(transformers, path, arguments, num_outputs)
    images = len(input_shape) == 3
    auto = transformers.AutoModelForImageClassification if images else transformers.AutoModelForSequenceClassification
    if type(config) not in auto._model_mapping:
        kind = "image classification" if images else "text classification"
        raise UserError(
            f"{path}: transformers has no network for {kind} of the type '{config.model_type}'; input.shape "
            f"{list(input_shape)} is that of {'an image' if images else 'text'}; use another architecture or shape"
        )
    model = construct(lambda **_: auto.from_config(config, dtype=torch.float32), f"{path}", arguments)
    if not images:
        has_types = getattr(config, "type_vocab_size", 0) > 1
        separator = find_separator(path) if has_types else None
        model.register_forward_pre_hook(
            _InputsOfText(getattr(config, "pad_token_id", None), separator), with_kwargs=True
        )
    use_saved_names(model)
    return model


def _make_config(transformers: Any, path: Path, arguments: Mapping[str, Any], num_outputs: int) -> Any:
    content = {key: value for key, value in read_config(path).items() if key not in OF_CODE_OR_FILES}
    name = content.pop("model_type")
    types = transformers.CONFIG_MAPPING
    if name == "timm_wrapper":
        raise UserError(f"{path}: is a network of timm; set model.architecture: timm/{content.get('architecture')}")
    if name not in types:
        raise UserError(f"{path}: transformers has no model type '{name}'; {did_you_mean(name, list(types.keys()))}")
    strict_error = import_extra("huggingface_hub.errors").StrictDataclassError
    values = {key: value for key, value in arguments.items() if key not in COUNTS}
    try:
        config = types[name].from_dict(content)
        unknown = [key for key in values if key in OF_CODE_OR_FILES or not hasattr(config, key)]
        if unknown:
            raise UserError(f"model.arguments: {name} has no '{unknown[0]}'; {did_you_mean(unknown[0], vars(config))}")
        config = types[name].from_dict({**content, **values})
    except (*MISTAKES, strict_error) as error:
        raise UserError(f"{path}: transformers refuses it ({' '.join(str(error).split())}); fetch it again") from None
    config.architectures = config.architectures or []
    config.num_labels = arguments.get("num_classes", arguments.get("num_labels", num_outputs))
    return config


class _InputsOfText:
    """Converts numbers of tokens (B, L) or (B, 1, L) to the arguments of a network for text.

    With a `separator`, tokens after the first one belong to the second text of a pair (`token_type_ids` 1).
    """

    def __init__(self, padding: int | None, separator: int | None) -> None:
        self.padding, self.separator = padding, separator

    def __call__(self, model: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Any]) -> Any:
        if not inputs:  # a call by name, as in transformers itself
            return inputs, named
        tokens = inputs[0].flatten(1).long()
        mask = torch.ones_like(tokens) if self.padding is None else (tokens != self.padding).long()
        values = {"input_ids": tokens, "attention_mask": mask}
        if self.separator is not None:
            separators = (tokens == self.separator).long()
            values["token_type_ids"] = mask * (separators.cumsum(1) > separators)
        return (), values
