"""The files that users write: strict YAML, the manifest and its sections."""
