"""Checkpoints: safetensors in and out, headers, shards, digests."""
