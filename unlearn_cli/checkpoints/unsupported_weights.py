"""What to do about weights that are not supported: advice for messages, in one place. No torch."""

MERGE_ADAPTER = "adapters are not supported; merge it with PEFT's merge_and_unload(), and save the whole network"
DEQUANTISE = "quantised weights are not supported; save the network in float32, before it was quantised"
NO_INDEX = (
    "the folder has parts of a sharded checkpoint without their index (.index.json), which lists them; fetch it, too"
)
PLAIN = "save a state dict of plain tensors and convert that"
ADVICE = {
    "sparse": "save tensor.to_dense() instead, and convert that",
    "quantised": DEQUANTISE,
    "complex": "networks of complex numbers are not supported",
}  # by kinds of tensors


def advise_kind(kind: str) -> str:
    """Return what to do about a kind of tensor that a checkpoint cannot hold."""
    return ADVICE.get(kind, PLAIN)
