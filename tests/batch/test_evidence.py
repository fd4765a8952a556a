"""Evidence: both statements are what in-toto and SLSA say they are, and say what was measured and no more."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from tests.reporting.test_page import bare_report, checkpoint
from tests.tiny import MANIFEST, invoke, write_manifest
from unlearn_cli.batch.evidence import evidence
from unlearn_cli.batch.evidence.statement import Artifact, Facts, list_artifacts
from unlearn_cli.errors import IntegrityError
from unlearn_cli.reporting.report import Report
from unlearn_cli.stats.results import Estimate
from unlearn_cli.storage import regular_files
from unlearn_cli.verdict.judgement import Gate, Judgement

FACTS = Facts(
    run="R0001", started="2026-11-20T23:30:00.250000+01:00", finished="2026-11-20T22:31:00Z",
    before=(Artifact("models/v0000/model.safetensors", "0a" * 32),),
    after=(Artifact("models/v0001/model.safetensors", "1a" * 32),),
    unlearned=Artifact("models/v0001/report.json", "2a" * 32),
    attacked=Artifact("runs/R0001/attack-1/report.json", "3a" * 32),
    requests=("4a" * 32, "5a" * 32), selection="6a" * 32, ledger="7a" * 32,
)  # fmt: skip


# Made by protobuf when they are imported: no type checker sees them.
Provenance = provenance_pb2.Provenance  # pyright: ignore[reportAttributeAccessIssue]
ResultOfTests = test_result_pb2.TestResult  # pyright: ignore[reportAttributeAccessIssue]
ReadStatement = statement_pb2.Statement  # pyright: ignore[reportAttributeAccessIssue]


def gate(condition: str, verdict: str, role: str = "subject") -> Gate:
    value = Estimate(value=0.5, n=10, low=0.2, high=0.8, interval="wilson")
    return Gate.model_validate(
        {"condition": condition, "verdict": verdict, "value": value, "limit": 0.4, "role": role}
    )  # fmt: skip


def unlearned(*gates: Gate, **changes: Any) -> Report:
    return bare_report(gates=list(gates), method="unsir", original=checkpoint("original"), **changes)


def attacked(verdict: str, *gates: Gate) -> Report:
    judgement = Judgement(tier="quick", attempts=2, holdout_half="verdict")
    return bare_report(command="attack", gates=list(gates), verdict=verdict, judgement=judgement)


def checked(statement: dict[str, Any], predicate: Any) -> Any:
    """Return the predicate as the library of its inventors reads it; an unknown or misspelt field is an error."""
    Statement.copy_from_pb(ParseDict(statement, ReadStatement())).validate()
    return ParseDict(statement["predicate"], predicate)


def provenance(*reports: Any) -> Any:
    return checked(evidence.build_statements(FACTS, *reports)["provenance"], Provenance())


def results(*reports: Any, facts: Facts = FACTS) -> Any:
    return checked(evidence.build_statements(facts, *reports)["test-result"], ResultOfTests())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, original: Path) -> Path:
    """A folder with an unlearned network and with what attacked it."""
    folder = tmp_path_factory.mktemp("run")
    manifest = write_manifest(folder, MANIFEST + "gates: [test_forget.accuracy <= 0.9]\n")
    invoke("unlearn", original, "-m", manifest, "-o", folder / "new", "--method", "bad_teacher")
    invoke("attack", folder / "new", "-m", manifest, "--original", original, "-o", folder / "attack")
    return folder


def facts_of(run: Path, original: Path) -> tuple[Facts, Report, Report]:
    reports = [run / name / "report.json" for name in ("new", "attack")]
    digests = [Artifact(f"runs/R0001/{path.parent.name}/report.json", regular_files.sha256(path)) for path in reports]
    before, after = list_artifacts(original.parent, "models/v0000"), list_artifacts(run / "new", "models/v0001")
    facts = dataclasses.replace(FACTS, before=before, after=after, unlearned=digests[0], attacked=digests[1])
    unlearned, attacked = (Report.model_validate_json(path.read_text(encoding="utf-8")) for path in reports)
    return facts, unlearned, attacked


def test_the_statements_of_a_real_run_name_its_files_by_their_digests_and_no_folder_of_the_machine(
    run: Path, original: Path, tmp_path: Path
) -> None:
    facts, report, attack = facts_of(run, original)
    written = evidence.write_evidence(tmp_path, facts, report, attack)
    assert written == {path.name: regular_files.sha256(path) for path in tmp_path.iterdir()}
    made, result = (json.loads((tmp_path / name).read_text()) for name in ("provenance.json", "test-result.json"))
    checked(made, Provenance())
    checked(result, ResultOfTests())
    digests = {one["name"]: one["digest"] for one in made["subject"]}
    assert digests["models/v0001/model.safetensors"] == {
        "sha256": regular_files.sha256(run / "new" / "model.safetensors")
    }
    assert digests["runs/R0001/attack/report.json"] == {"sha256": regular_files.sha256(run / "attack" / "report.json")}
    assert report.subject is not None and digests["weights"] == {"tensorsSha256": report.subject.tensor_digest}
    text = (tmp_path / "provenance.json").read_text() + (tmp_path / "test-result.json").read_text()
    assert not re.search(r'"/|\bdeleted\b|\berased\b|guarantee', text)


def test_the_same_facts_give_the_same_bytes(run: Path, original: Path, tmp_path: Path) -> None:
    assert evidence.write_evidence(tmp_path, *facts_of(run, original)) == evidence.write_evidence(
        tmp_path, *facts_of(run, original)
    )


def test_provenance_says_what_was_asked_for_and_what_it_was_made_of() -> None:
    report = unlearned(gate("test_forget.accuracy <= 0.4", "passed"), settings={"lr": 0.5, "steps": None}, seed=3)
    made = provenance(report, attacked("passed"))
    asked = dict(made.build_definition.external_parameters)
    assert (asked["method"], asked["seed"], asked["settings"]["lr"]) == ("unsir", 3, 0.5)
    assert list(asked["gates"]) == ["test_forget.accuracy <= 0.4"]
    assert dict(asked["attack"]) == {"tier": "quick", "attempts": 2, "half": "verdict"}
    found = [(one.name, dict(one.digest)) for one in made.build_definition.resolved_dependencies]
    assert found == [
        ("models/v0000/model.safetensors", {"sha256": "0a" * 32}),
        ("weights", {"tensorsSha256": report.original.tensor_digest if report.original else ""}),
        ("manifest", {"canonicalJsonSha256": "ab" * 32}),
        ("selection", {"keyedSha256": "6a" * 32}),
        ("request", {"canonicalJsonSha256": "4a" * 32}), ("request", {"canonicalJsonSha256": "5a" * 32}),
        ("ledger", {"ledgerEventSha256": "7a" * 32}),
    ]  # fmt: skip


def test_provenance_says_who_made_it_and_when_in_utc() -> None:
    details = provenance(unlearned(), None).run_details
    assert (details.builder.id, dict(details.builder.version)) == ("pkg:pypi/unlearn-cli", {"unlearn-cli": "0.1.0"})
    assert details.metadata.invocation_id == "R0001"
    assert details.metadata.started_on.ToJsonString() == "2026-11-20T22:30:00.250Z"
    assert details.metadata.finished_on.ToJsonString() == "2026-11-20T22:31:00Z"


@pytest.mark.parametrize(
    ("verdict", "result"),
    [
        ("passed", "PASSED"), ("passed_screen", "WARNED"), ("inconclusive", "WARNED"), ("nothing_to_forget", "WARNED"),
        ("failed", "FAILED"), ("error", "FAILED"),
    ],
)  # fmt: skip
def test_only_what_was_decided_passes(verdict: str, result: str) -> None:
    found = results(unlearned(gate("a <= 1", "passed")), attacked(verdict, gate("b", "passed")))
    assert found.result == result
    kinds = {"PASSED": found.passed_tests, "WARNED": found.warned_tests, "FAILED": found.failed_tests}
    assert "attack: verdict of the quick tier" in kinds[result]
    assert {"gate: a <= 1", "attack: b"} <= set(found.passed_tests)


def test_the_worst_test_decides_and_controls_are_no_tests() -> None:
    gates = [gate("a", "passed"), gate("b", "failed"), gate("a", "failed", "original")]
    found = results(unlearned(*gates), attacked("inconclusive", gate("c", "inconclusive")))
    assert found.result == "FAILED"
    assert list(found.passed_tests) == ["gate: a"]
    assert list(found.warned_tests) == ["attack: c", "attack: verdict of the quick tier"]
    assert list(found.failed_tests) == ["gate: b"]


def test_a_run_without_any_test_has_not_passed() -> None:
    found = results(unlearned(), None, facts=dataclasses.replace(FACTS, attacked=None))
    assert found.result == "WARNED"
    assert [one.name for one in found.configuration] == ["manifest", "models/v0001/report.json"]


def test_what_was_measured_stands_with_its_n_and_interval() -> None:
    found = results(unlearned(gate("a <= 1", "passed"), caveats=["No proof."]), None)
    told = dict(found.configuration[1].annotations)
    assert list(told["caveats"]) == ["No proof."]
    assert dict(told["measured"][0]) == {
        "condition": "a <= 1", "verdict": "passed", "limit": 0.4,
        "value": 0.5, "n": 10, "low": 0.2, "high": 0.8, "interval": "wilson",
    }  # fmt: skip


def test_a_divided_checkpoint_is_named_by_all_its_files(tmp_path: Path) -> None:
    for name in ("model-00001-of-00002.safetensors", "model.safetensors.index.json", "report.json"):
        (tmp_path / name).write_bytes(name.encode())
    found = list_artifacts(tmp_path, "models/v0002")
    assert [one.name for one in found] == [
        "models/v0002/model-00001-of-00002.safetensors", "models/v0002/model.safetensors.index.json",
    ]  # fmt: skip
    assert found[0].sha256 == regular_files.sha256(tmp_path / "model-00001-of-00002.safetensors")


def test_reports_of_two_checkpoints_are_no_evidence(tmp_path: Path) -> None:
    other = attacked("passed")
    other.subject = checkpoint("subject").model_copy(update={"tensor_digest": "ff" * 32})
    with pytest.raises(IntegrityError, match="are about different checkpoints"):
        evidence.write_evidence(tmp_path, FACTS, unlearned(), other)
    assert list(tmp_path.iterdir()) == []
