"""Sizes of images for a drafted manifest: as stored, or resized to the size for which a network was published.

Most convolutional networks accept images of any size, so nothing in a checkpoint says which size they were trained
with.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearn_cli.commands.manifest_draft import ManifestDraft, Value
from unlearn_cli.commands.model_draft import IMAGE_SIDE
from unlearn_cli.commands.network_check import build_checked
from unlearn_cli.errors import UserError
from unlearn_cli.models.published_sizes import PublishedSize, find_published_size
from unlearn_cli.schema.data_sections import Input
from unlearn_cli.schema.network_sections import Model, NetworkSections

LIBRARIES = ("torchvision", "timm", "transformers")
SMALL = 96  # larger images are usually resized, smaller ones are often read as they are stored
LARGE = 288  # larger images are hardly ever read as they are stored
Keys = Mapping[str, Value]  # of the section `input`


def list_sizes(draft: ManifestDraft, num_outputs: int, folder: Path) -> list[ManifestDraft]:
    """Return the draft with each of the usual sizes that its network accepts, the likeliest first.

    The draft is returned as it is if files state how images are read, or if its network is not one of a library.
    """
    architecture = str(draft.model["architecture"].value)
    is_stated = any(not value.guessed for key, value in draft.input.items() if key not in ("shape", "scale"))
    if draft.layout.kind != "images" or is_stated or architecture.partition("/")[0] not in LIBRARIES:
        return [draft]
    network = Model.model_validate({key: value.value for key, value in draft.model.items()})
    accepted = [keys for keys in list_keys(draft, architecture) if accepts(network, keys, draft, num_outputs, folder)]
    marked = (mark_guesses(keys, is_only=len(accepted) == 1) for keys in accepted)
    return [apply_keys(draft, keys) for keys in marked] or [draft]


def mark_guesses(keys: Keys, *, is_only: bool) -> Keys:
    """Return the keys marked as guesses; the stored size is none if it `is_only` one that the network accepts."""
    return {key: replace(value, guessed=len(keys) > 1 or not is_only) for key, value in keys.items()}


def list_keys(draft: ManifestDraft, architecture: str) -> list[Keys]:
    """Return the keys shape, resize and interpolation of each usual size, the likeliest first."""
    layout, (channels, *sides) = draft.layout, draft.input["shape"].value
    stored = list(layout.shape[1:])
    size = find_published_size(architecture)
    if sides not in (stored, [IMAGE_SIDE] * 2):  # the network decides it
        size = replace(size, side=sides[0], resize=round(sides[0] * size.resize / size.side))
    resized = list(list_resized(channels, size, stored))
    as_stored = [{"shape": Value([channels, *stored], "as the images are stored")}]
    if not layout.same_size or max(stored) > LARGE:
        return resized
    return [*as_stored, *resized] if max(stored) <= SMALL else [*resized, *as_stored]


def list_resized(channels: int, size: PublishedSize, stored: Sequence[int]) -> Iterator[Keys]:
    """Yield both sides resized, and for larger images the shorter one with a crop, as networks are evaluated."""
    shape = Value([channels, size.side, size.side])
    reason = f"images have other sizes, such as {stored[0]} x {stored[1]}"
    others = {} if size.interpolation == "bilinear" else {"interpolation": Value(size.interpolation)}
    if stored != [size.side] * 2:
        yield {"shape": shape, "resize": Value([size.side] * 2, reason), **others}
    if max(stored) > SMALL:
        yield {"shape": shape, "resize": Value(size.resize, f"{reason}; the centre is cropped"), **others}


def apply_keys(draft: ManifestDraft, keys: Keys) -> ManifestDraft:
    """Return the draft with other keys on sizes."""
    others = {key: value for key, value in draft.input.items() if key not in ("shape", "resize")}
    return replace(draft, input={**keys, **others})


def accepts(network: Model, keys: Keys, draft: ManifestDraft, num_outputs: int, folder: Path) -> bool:
    """Return whether the network accepts samples of the size."""
    shape: Any = keys["shape"].value
    sections = NetworkSections(network, Input.model_validate({"shape": shape}), None, "mse", (), folder)
    try:
        build_checked(folder, sections, num_outputs, draft.layout.task)
    except UserError:
        return False
    return True
