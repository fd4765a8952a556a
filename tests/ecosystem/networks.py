"""Tiny random networks of timm and transformers, built from configurations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 16
BLOCKS: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 37,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
IMAGES: dict[str, dict[str, Any]] = {
    "vit": {**BLOCKS, "image_size": SIDE, "patch_size": 8},
    "deit": {**BLOCKS, "image_size": SIDE, "patch_size": 8},
    "beit": {**BLOCKS, "image_size": SIDE, "patch_size": 8},
    "dinov2": {**BLOCKS, "image_size": SIDE, "patch_size": 8},
    "swin": {
        "image_size": SIDE, "patch_size": 2, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 2,
    },
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"},
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "mobilenet_v2": {"depth_multiplier": 0.25},
}  # fmt: skip
TEXTS: dict[str, dict[str, Any]] = {
    "bert": {**BLOCKS, "vocab_size": 50, "pad_token_id": 0},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 37, "vocab_size": 50, "pad_token_id": 0},
    "roberta": {**BLOCKS, "vocab_size": 50, "pad_token_id": 1},
    "electra": {**BLOCKS, "vocab_size": 50, "embedding_size": 32},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 50, "pad_token_id": 0},
}
TIMM: dict[str, tuple[int, dict[str, Any]]] = {  # side, arguments
    "resnet10t": (32, {}),
    "vit_tiny_patch16_224": (16, {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3}),
    "mobilenetv3_small_050": (32, {}),
    "convnext_atto": (32, {"depths": [1, 1, 1, 1], "dims": [8, 8, 8, 8]}),
}


def write_config(folder: Path, model_type: str, values: dict[str, Any], labels: int = 3) -> Path:
    """Write a config.json as `save_pretrained` does, in short."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {str(i): f"class {i}" for i in range(labels)}
    content = {"model_type": model_type, **values, "id2label": names, "label2id": {n: int(i) for i, n in names.items()}}
    path = folder / "config.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_images(folder: Path, side: int = SIDE, count: int = 6) -> None:
    """Write train and test with three classes that differ in their colour."""
    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for i, name in enumerate(("a", "b", "c")):
            (folder / part / name).mkdir(parents=True)
            for k in range(count):
                pixels = random.integers(0, 80, (side, side, 3), dtype=np.uint8)
                pixels[..., i] += 150
                Image.fromarray(pixels).save(folder / part / name / f"{k}.png")
