"""The sections of the page in their order. The template of a section `x` is `section_x.html.j2`."""

from collections.abc import Mapping
from typing import Any

TITLES = {
    "gates": "Gates",
    "pictures": "Pictures",
    "metrics": "Measurements",
    "comparison": "Compared with the references",
    "attacks": "Attacks",
    "probes": "Probes",
    "layers": "Changed weights",
    "limits": "Limitations",
    "data": "Data",
    "origin": "How this report came about",
}


def list_sections(content: Mapping[str, Any]) -> dict[str, str]:
    """Return name -> title of the sections that have content."""
    report = content["report"]
    filled = {
        "gates": report.command != "train" or report.gates,
        "pictures": content["drawings"],
        "metrics": report.metrics,
        "comparison": content["comparisons"],
        "attacks": report.attacks or report.skipped,
        "probes": report.findings,
        "layers": report.layers,
        "limits": report.caveats,
        "data": True,
        "origin": True,
    }
    return {name: title for name, title in TITLES.items() if filled[name]}
