"""The settings of a deletion batch: `deletion.yaml`."""
