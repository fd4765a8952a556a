"""Divide the gates of the judged checkpoint by the question that they answer."""

from unlearn_cli.reporting.answers.numbers import format_estimate, format_number, join_names
from unlearn_cli.reporting.report import Report
from unlearn_cli.verdict.judgement import Gate

KEPT_SPLITS = ("retain", "test", "test_retain", "train")
OF_DATA = ("needs", "too few")  # how the reasons of gates begin that more records would decide
WORKS = "the outputs differ"  # a network with constant outputs is useless, whatever it has forgotten


def list_gates(document: Report) -> list[Gate]:
    """Return the gates of the judged checkpoint, without those of the controls."""
    return [gate for gate in document.gates if gate.role == "subject"]


def is_on_cost(gate: Gate) -> bool:
    """Return whether a gate is about the records that must be kept: its condition starts with such a split."""
    split = gate.condition.split(" ")[0].partition(".")[0]
    return split in KEPT_SPLITS or gate.condition.startswith(WORKS)


def list_gates_on_forgetting(document: Report) -> list[Gate]:
    return [gate for gate in list_gates(document) if not is_on_cost(gate)]


def list_gates_on_cost(document: Report) -> list[Gate]:
    return [gate for gate in list_gates(document) if is_on_cost(gate)]


def select_verdict(gates: list[Gate], verdict: str) -> list[Gate]:
    """Return the gates with a verdict; an undecided gate that is not required counts as no verdict."""
    return [gate for gate in gates if gate.verdict == verdict and not is_open(gate)]


def is_open(gate: Gate) -> bool:
    """Return whether a gate is undecided but not required, so that nothing depends on it."""
    return gate.verdict == "inconclusive" and not gate.required


def lack_data(gates: list[Gate]) -> bool:
    """Return whether more records would decide at least one of some undecided gates; others have another reason."""
    return any(gate.reason is None or gate.reason.startswith(OF_DATA) for gate in gates)


def describe_gate(gate: Gate) -> str:
    """Return the condition of a gate with its value and n: 'population AUC within 0.05 of 1/2 (0.84 [..], n 162)'."""
    if gate.value.value is None or (gate.limit is None and gate.reason):
        return f"{gate.condition} ({gate.reason or gate.value.reason or 'not measured'})"
    limit = "" if gate.limit is None or gate.margin is not None else f", limit {format_number(gate.limit)}"
    return f"{gate.condition} ({format_estimate(gate.value)}, n {gate.value.n:,}{limit})"


def name_gates(gates: list[Gate]) -> str:
    return join_names([describe_gate(gate) for gate in gates])
