"""JUnit XML of a report's gates, which CI systems display as tests. An undecided gate is an error, not a pass."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from unlearn_cli.console import visible
from unlearn_cli.reporting.report import Report
from unlearn_cli.verdict.judgement import Gate

NOT_PASSED = {"failed": "failure", "inconclusive": "error", "error": "error", "nothing_to_forget": "error"}


def format_junit(document: Report) -> str:
    """Return the XML: a suite with the verdict and the gates of the subject, and the controls as its output."""
    gates = [gate for gate in document.gates if gate.role == "subject"]
    suite = Element("testsuite", name=f"unlearn_cli.{document.command}")
    if document.judgement is not None and document.verdict is not None:
        case = SubElement(suite, "testcase", classname="unlearn_cli.verdict", name=f"{document.judgement.tier} tier")
        _add_result(case, document.verdict, "; ".join(document.judgement.reasons) or document.verdict)
    for gate in gates:
        case = SubElement(suite, "testcase", classname="unlearn_cli.gate", name=visible(gate.condition))
        _add_result(case, gate.verdict, _describe_gate(gate))
    for kind, tag in (("failures", "failure"), ("errors", "error")):
        suite.set(kind, str(sum(1 for _ in suite.iter(tag))))
    suite.set("tests", str(sum(1 for _ in suite.iter("testcase"))))
    controls = "\n".join(
        f"{gate.role}: {gate.condition}: {gate.verdict}" for gate in document.gates if gate not in gates
    )
    if controls:
        SubElement(suite, "system-out").text = visible(controls)
    root = Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _add_result(case: Element, verdict: str, message: str) -> None:
    if verdict in NOT_PASSED:
        SubElement(case, NOT_PASSED[verdict], message=visible(message), type=verdict)


def _describe_gate(gate: Gate) -> str:
    value = "no value" if gate.value.value is None else f"{gate.value.value:.6g} (n = {gate.value.n})"
    limit = "" if gate.limit is None else f", limit {gate.limit:.6g}"
    return f"{value}{limit}" + (f": {gate.reason}" if gate.reason else "")
