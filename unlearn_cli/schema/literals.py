"""Literals that manifests, options and reports share."""

from typing import Literal

Task = Literal["classification", "regression"]
Role = Literal["subject", "original", "reference", "trained"]
Half = Literal["selection", "verdict", "all"]
