"""The sentences: each kind of report, from small documents; a null never fails, and nothing is claimed beyond it."""

import re
from typing import Any

import pytest

from tests.reporting.test_page import attack, bare_report, checkpoint, share
from tests.verdict.test_judging import REFERENCES, candidate, made
from unlearn_cli.reporting.answers.judged_gates import is_on_cost
from unlearn_cli.reporting.report import Manifest, Report, Split
from unlearn_cli.reporting.sentences import list_sentences
from unlearn_cli.stats.results import AttackResult, Confusion, Estimate
from unlearn_cli.verdict.judgement import Gate, Judgement, OverForgetting
from unlearn_cli.verdict.judging import judge
from unlearn_cli.verdict.tiers import describe_tier

ON_FORGETTING = "population AUC within 0.05 of 1/2"
SURE = "How sure is that?"
ON_COST = "test_retain accuracy at most 0.02 below the references'"


def manifest(task: str = "classification", classes: list[str] | None = None, **splits: int) -> Manifest:
    sizes = splits or {"train": 1437, "forget": 135, "retain": 1302, "test": 360, "test_forget": 48, "test_retain": 312}
    return Manifest.model_validate(
        {
            "task": task,
            "architecture": "allcnn",
            "forget_classes": classes,
            "splits": {name: Split(n=n, ids_digest="ab" * 32) for name, n in sizes.items()},
        }
    )


def accuracies(**levels: tuple[float, int]) -> dict[str, dict[str, Estimate]]:
    return {split: {"accuracy": share(value, n)} for split, (value, n) in levels.items()}


def answers(document: Report) -> dict[str, str]:
    return {sentence.question: sentence.text for sentence in list_sentences(document)}


def gate(condition: str, verdict: str, value: float = 0.04, reason: str | None = None) -> Gate:
    estimate = Estimate(value=value, n=270, low=value - 0.01, high=value + 0.01)
    fields = {"condition": condition, "verdict": verdict, "value": estimate, "limit": 0.5, "margin": 0.05}
    return Gate.model_validate({**fields, "reason": reason})


def attacked(verdict: str, *gates: Gate, tier: str = "quick", **changes: Any) -> Report:
    calibration = {"original": "failed", "reference": "passed"}
    judgement = Judgement.model_validate({"tier": tier, "calibration": calibration, "reasons": ["only a screen"]})
    results = [population("subject", 0.54), population("original", 0.9), population("reference", 0.5)]
    fields = {"command": "attack", "verdict": verdict, "judgement": judgement, "gates": list(gates), "attacks": results}
    fields |= {"manifest": manifest(), "references": [checkpoint("reference")]}
    return bare_report(**{**fields, **changes})


def population(role: str, area: float, name: str = "population") -> AttackResult:
    return attack().model_copy(update={"name": name, "role": role, "auc": share(area, 1000)})


def test_a_forgotten_class_is_compared_with_before_and_with_a_network_that_never_saw_it() -> None:
    metrics = {
        "original": accuracies(test_forget=(0.979, 48), test_retain=(0.99, 312)),
        "subject": accuracies(test_forget=(0.0, 48), test_retain=(0.994, 312)),
        "reference": accuracies(test_forget=(0.0, 48), test_retain=(0.99, 312)),
    }
    text = answers(bare_report(manifest=manifest(classes=["3"]), metrics=metrics, method="unsir"))
    assert text["What was asked?"] == (
        "Make the network forget the class 3 (135 of 1,437 training records) with the method unsir."
    )
    assert re.fullmatch(
        r"The network no longer recognises 3: 97\.9 % → 0\.0 % \[0\.0, 4\.1\] of 48 test records; "
        r"a network that never saw 3: 0\.0 %\.",
        text["Was it forgotten?"],
    )
    assert "on 312 other test records: 99.0 % → 99.4 % [" in text["What did it cost?"]
    assert "(+0.4 points); a network that never saw 3: 99.0 %." in text["What did it cost?"]
    assert "No gate was set." in text["How sure is that?"] and "No attack was run" in text["How sure is that?"]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (0.98, 0.97, "The network still recognises 3: 98.0 % → 97.0 %"),
        (0.98, 0.2, "The network still recognises 3 in part: 98.0 %"),
        (0.02, 0.0, "Neither the original nor this network recognises 3"),
        (None, 0.0, "The network does not recognise 3: 0.0 %"),
    ],
)
def test_a_class_that_is_not_forgotten_is_not_called_forgotten(before: float | None, after: float, text: str) -> None:
    metrics = {"subject": accuracies(test_forget=(after, 48))}
    if before is not None:
        metrics["original"] = accuracies(test_forget=(before, 48))
    assert text in answers(bare_report(manifest=manifest(classes=["3"]), metrics=metrics))["Was it forgotten?"]


def test_several_references_are_averaged_and_many_classes_are_counted() -> None:
    networks = {
        role: accuracies(forget=(value, 50)) for role, value in (("subject", 0.0), ("reference", 0), ("reference_2", 1))
    }
    document = bare_report(manifest=manifest(classes=list("abcdefg")), metrics=networks)
    text = answers(document)["Was it forgotten?"]
    assert "recognise a, b, c, d, e and 2 others: 0.0 % [0.0, 3.9] of 50 training records" in text
    assert "2 networks that never saw them, on average: 50.0 %" in text


@pytest.mark.parametrize(
    ("forget", "retrained", "text"),
    [
        (0.99, 0.9, "Forgotten records are predicted better than by networks that never saw them"),
        (0.5, 0.9, "Forgotten records are predicted worse than by networks that never saw them"),
        (0.91, 0.9, "No difference in accuracy was detected"),
        (0.99, None, "Forgotten records are predicted better than never-seen ones"),
        (0.9, None, "No difference in accuracy was detected"),
    ],
)
def test_single_records_are_compared_with_never_seen_ones(forget: float, retrained: float | None, text: str) -> None:
    metrics = {"subject": accuracies(forget=(forget, 135), test=(0.9, 360))}
    if retrained is not None:
        metrics["reference"] = accuracies(forget=(retrained, 135))
    answer = answers(bare_report(manifest=manifest(train=1437, forget=135, test=360), metrics=metrics))
    assert answer["Was it forgotten?"].startswith(text)
    assert "on 360 never-seen test records: 90.0 %" in answer["Was it forgotten?"]
    assert "Yes" not in answer["Was it forgotten?"]


def test_a_regression_is_described_by_its_error() -> None:
    errors = {"original": (2.0, 4.0), "subject": (5.0, 4.1), "reference": (4.8, 4.0)}
    metrics = {
        role: {
            split: {"mae": Estimate(value=value, n=80, low=value - 0.5, high=value + 0.5)}
            for split, value in zip(("forget", "test"), values, strict=True)
        }
        for role, values in errors.items()
    }
    sizes = {"train": 300, "forget": 80, "test": 80}
    text = answers(bare_report(task="regression", manifest=manifest("regression", None, **sizes), metrics=metrics))
    assert text["Was it forgotten?"] == (
        "No difference in error was detected: forgotten records are predicted about as well as by networks that never "
        "saw them. Mean absolute error on 80 forgotten records: 2 → 5 [4.5, 5.5] (2.5 times the original's); a network "
        "that never saw them: 4.8; on 80 never-seen test records: 4.1 [3.6, 4.6]."
    )
    assert "Mean absolute error on 80 test records: 4 → 4.1 [3.6, 4.6] (+2.5 %)" in text["What did it cost?"]


@pytest.mark.parametrize(
    ("verdict", "gates", "text"),
    [
        ("passed", ["passed", "passed"], "Yes: within the margins"),
        ("passed_screen", ["passed", "passed"], "Yes, as far as a screen can show: within the margins"),
        (
            "failed",
            ["failed", "passed"],
            f"No: forgotten records are not treated as after retraining. Failed: {ON_FORGETTING}",
        ),
        (
            "failed",
            ["passed", "failed"],
            "1 of 1 gate on the forgotten records passed, but others failed: see the cost.",
        ),
        ("inconclusive", ["inconclusive", "passed"], "Not decided: too little data for 1 of 1 gate"),
        ("inconclusive", ["passed", "inconclusive"], "Not decided: 1 of 1 gate on the forgotten records passed, but"),
        ("nothing_to_forget", ["passed", "passed"], "Nothing to forget was detectable"),
        ("error", ["passed", "passed"], "Not answered: a retrained network fails the same gates"),
    ],
)
def test_each_verdict_is_an_answer(verdict: str, gates: list[str], text: str) -> None:
    document = attacked(verdict, gate(ON_FORGETTING, gates[0]), gate(ON_COST, gates[1], -0.01))
    answer = answers(document)
    assert answer["Was it forgotten?"].startswith(text)
    assert "the AUC is 0.54 [" in answer["Was it forgotten?"]
    assert "(500 and 500 records); original 0.9; reference 0.5." in answer["Was it forgotten?"]
    assert ("Not decided: accuracy" in answer["What did it cost?"]) == (gates[1] == "inconclusive")
    assert "the original failed (as it must) and the reference passed" in answer["How sure is that?"]
    assert ("A stronger test" in answer["How sure is that?"]) == (verdict not in ("failed", "error"))


def test_an_undecided_verdict_names_reasons_and_sizes() -> None:
    few = attack().model_copy(update={"name": "population", "num_members": 135, "num_non_members": 27})
    undecided = [gate(ON_FORGETTING, "inconclusive"), gate("TPR", "inconclusive", reason="needs 100 records")]
    judgement = Judgement(tier="quick", reasons=["too few", "TPR: needs 100 records"], attempts=3)
    text = answers(attacked("inconclusive", *undecided, attacks=[few], judgement=judgement))["How sure is that?"]
    assert "Verdict of the quick tier, attempt 3: not decided; 0 of 2 gates passed, 2 not decided." in text
    assert "Too few. A gate needs 100 records. 135 forgotten records and 27 of the hold-out cannot show" in text
    assert "No control was judged" in text
    advised = judgement.model_copy(update={"advice": ["utility on test: 80 % needs test 2,618"]})
    text = answers(attacked("inconclusive", *undecided, judgement=advised))["How sure is that?"]
    assert "80 % needs" not in text and "cannot show" not in text  # no gate on utility is undecided
    undecided.append(gate(ON_COST, "inconclusive"))
    text = answers(attacked("inconclusive", *undecided, judgement=advised))["How sure is that?"]
    assert "Utility on test: 80 % needs test 2,618." in text and "A gate needs 100 records" not in text


def test_without_a_control_the_cost_of_an_attack_is_not_measured() -> None:
    document = attacked("failed", gate(ON_FORGETTING, "failed"), judgement=Judgement(tier="quick"))
    assert "neither an original nor a reference" in answers(document)["What did it cost?"]


def test_a_gate_that_cannot_be_judged_does_not_lack_data() -> None:
    relearned = gate("relearned in 1/2 of the steps", "inconclusive", reason="increase relearn.max_steps")
    judgement = Judgement(tier="standard", reasons=["some gates are not decided: use more records"])
    text = answers(attacked("inconclusive", relearned, judgement=judgement))
    assert text["Was it forgotten?"].startswith("Not decided: 1 of 1 gate on the forgotten records could not be judged")
    assert "use more records" not in text[SURE] and "A stronger test" not in text[SURE]


def test_gates_that_are_not_required_and_those_of_a_screen_do_not_hide_the_verdict() -> None:
    optional = gate("nearer to retraining than to the original", "inconclusive").model_copy(update={"required": False})
    passed = answers(attacked("passed", gate(ON_FORGETTING, "passed"), optional))["Was it forgotten?"]
    assert passed.startswith("Yes: within the margins") and "(1 of 1 gate on the forgotten records passed)" in passed
    screen = answers(attacked("passed_screen", gate(ON_FORGETTING, "inconclusive")))["Was it forgotten?"]
    assert screen.startswith("Only a screen: the outputs on the forgotten records are nearer to retraining")
    assert "1 of 1 gate on the forgotten records is not decided." in screen


def test_a_margin_that_is_not_the_default_is_stated() -> None:
    judgement = Judgement(tier="quick", auc_margin=0.1)
    sure = answers(attacked("passed_screen", gate(ON_FORGETTING, "passed"), judgement=judgement))[SURE]
    assert "The margin of the AUC is 0.1; the default is 0.05." in sure


def test_the_mask_is_a_control() -> None:
    judgement = Judgement(tier="standard", calibration={"original": "failed", "mask": "passed"})
    sure = answers(attacked("passed_screen", gate(ON_FORGETTING, "passed"), judgement=judgement))["How sure is that?"]
    assert "the original failed (as it must) and an edit of one row of the last layer (mask) passed (so" in sure


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (
            ON_COST,
            "Accuracy on 270 other test records: -1.0 points [-2.0, +0.0] compared with the reference (accepted: ",
        ),
        (
            "retain accuracy at most 0.02 below the references' on test",
            "the reference on test records (accepted: at most",
        ),
        (
            "test mean error at most 5% above the original's",
            "error on 270 test records: +0.01 [+0, +0.02] compared with",
        ),
    ],
)
def test_the_cost_of_an_attacked_network_is_a_difference_in_words(condition: str, text: str) -> None:
    cost = answers(attacked("passed", gate(ON_FORGETTING, "passed"), gate(condition, "passed", -0.01)))
    assert text in cost["What did it cost?"]
    assert cost["What did it cost?"].endswith(" 1 of 1 gate on the records that must be kept passed.")


@pytest.mark.parametrize(("verdict", "text"), [("passed", "(so passing"), ("inconclusive", "(it should fail)")])
def test_an_undecided_mask_shows_nothing_about_the_gates(verdict: str, text: str) -> None:
    judgement = Judgement.model_validate({"tier": "standard", "calibration": {"original": "failed", "mask": verdict}})
    assert text in answers(attacked("passed_screen", gate(ON_FORGETTING, "passed"), judgement=judgement))[SURE]


@pytest.mark.parametrize(
    ("by_mask", "text"),
    [(True, "also passes all gates that"), (False, "passes, but not: population")],
)
def test_what_an_edit_of_one_row_passes_is_stated(by_mask: bool, text: str) -> None:
    passed = gate(ON_FORGETTING, "passed").model_copy(update={"passed_by_mask": by_mask})
    assert text in answers(attacked("passed", passed))["How sure is that?"]


def test_an_attack_against_records_of_another_kind_is_not_judged() -> None:
    text = answers(attacked("passed", gate("forget mean error within 25% of the references'", "passed")))
    assert "are treated as by networks that never saw them" in text["Was it forgotten?"]
    assert "not judged: these never-seen records differ from the forgotten ones" in text["Was it forgotten?"]


@pytest.mark.parametrize("tier", ["quick", "standard", "audit"])
def test_the_tier_is_described(tier: str) -> None:
    sure = answers(attacked("passed", gate(ON_FORGETTING, "passed"), tier=tier))["How sure is that?"]
    assert describe_tier(tier) in sure
    assert ("A stronger test: --tier" in sure) == (tier != "audit")


def test_an_attack_without_metrics_counts_predicted_classes() -> None:
    counts = {"subject": {"3": 1, "5": 26}, "original": {"3": 27}, "reference": {"5": 27}}
    confusions = [
        Confusion(split="test_forget", role=role, n=27, counts=of, largest_share=share(0.5, 27))
        for role, of in counts.items()
    ]
    document = attacked(
        "passed", gate(ON_FORGETTING, "passed"), manifest=manifest(classes=["3"]), confusions=confusions
    )
    assert "The network no longer recognises 3: 100.0 % → 3.7 % [" in answers(document)["Was it forgotten?"]
    assert "a network that never saw 3: 0.0 %." in answers(document)["Was it forgotten?"]
    several = document.model_copy(update={"manifest": manifest(classes=["3", "5"])})
    assert "The network still predicts one of 3 and 5: 100.0 % → 100.0 % [" in answers(several)["Was it forgotten?"]


def test_failed_conditions_of_a_manifest_are_an_answer() -> None:
    gates = [gate("test_forget.accuracy <= 0.02", "failed"), gate("test_retain.accuracy >= 0.9", "passed")]
    document = bare_report(manifest=manifest(classes=["3"]), gates=gates, verdict="failed")
    assert answers(document)["Was it forgotten?"].startswith("No: 1 of 1 gate on the forgotten records failed.")
    sure = answers(document)["How sure is that?"]
    assert "1 of 2 gates passed, 1 failed: test_forget.accuracy <= 0.02 (0.04 [0.03, 0.05], n 270)." in sure


def test_over_forgetting_is_described() -> None:
    result = OverForgetting(
        measure="accuracy",
        compared_with="test",
        forget=share(0.1, 100),
        never_seen=share(0.9, 100),
        limit=0.7,
        detected=True,
    )
    document = bare_report(manifest=manifest(train=1000, forget=100), over_forgetting=result)
    assert "Over-forgetting: accuracy on forget is 0.1 [" in answers(document)["Was it forgotten?"]


@pytest.mark.parametrize(
    ("split", "lineage", "text"),
    [
        ("train", {}, "Train a network (allcnn) on train: 1,437 records."),
        ("retain", {}, "on retain: 1,302 records without the class 3. The result is a reference"),
        ("retain", {"parent": "ab"}, "Continue the training of a network (allcnn) on retain"),
    ],
)
def test_a_training_claims_nothing_about_forgetting(split: str, lineage: dict[str, str], text: str) -> None:
    subject = checkpoint("trained").model_copy(update={"lineage": lineage})
    metrics = {"subject": accuracies(test=(0.98, 360), test_retain=(0.99, 312), retain=(1.0, 1302), train=(1.0, 1437))}
    fields = {"command": "train", "inputs": [split], "subject": subject, "metrics": metrics}
    answer = answers(bare_report(manifest=manifest(classes=["3"]), **fields))
    assert text in answer["What was asked?"]
    assert list(answer) == ["What was asked?", "How good is the network?", "How sure is that?"]
    assert not re.search("forg(e|o)t", " ".join(answer.values()))
    assert ("is a reference" in answer["What was asked?"]) == (split == "retain" and not lineage)


def test_a_manifest_that_selects_nothing_has_no_answer_on_forgetting() -> None:
    metrics = {"subject": accuracies(test=(0.98, 360), train=(1.0, 1437))}
    answer = answers(bare_report(command="evaluate", manifest=manifest(train=1437, test=360), metrics=metrics))
    assert "Was it forgotten?" not in answer
    assert answer["How good is the network?"].startswith("Accuracy: 98.0 % [")


@pytest.mark.parametrize("command", ["unlearn", "evaluate", "attack", "train", "shadow"])
@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("classes", [None, ["3"]])
def test_nulls_and_missing_parts_never_fail(command: str, task: str, classes: list[str] | None) -> None:
    null = Estimate(value=None, n=0, reason="no records")
    names = ("accuracy", "mae")
    metrics = {
        role: {split: dict.fromkeys(names, null) for split in ("forget", "test", "retain", "test_forget")}
        for role in ("original", "subject", "reference")
    }
    gates = [Gate(condition=text, verdict="inconclusive", value=null, limit=None) for text in (ON_FORGETTING, ON_COST)]
    attacks = [attack().model_copy(update={"role": role, "auc": null}) for role in ("subject", "original")]
    fields = {"command": command, "manifest": manifest(task, classes)}
    for changes in ({}, {"metrics": metrics, "gates": gates, "attacks": attacks, "verdict": "inconclusive"}):
        sentences = list_sentences(bare_report(**fields, **changes))
        assert len(sentences) == (3 if command == "train" else 4)
        assert all(sentence.text and "None" not in sentence.text for sentence in sentences)
    assert list_sentences(bare_report(command=command))


@pytest.mark.parametrize("verdict", ["passed", "passed_screen", "failed", "inconclusive", "nothing_to_forget", "error"])
def test_no_sentence_promises(verdict: str) -> None:
    text = " ".join(answers(attacked(verdict, gate(ON_FORGETTING, "passed"))).values())
    assert not re.search(r"\b(private|guaranteed?|certified)\b", text, re.IGNORECASE)


def test_the_gates_of_the_verdict_are_divided_by_question() -> None:
    gates, _, _ = judge(candidate("subject", made(1, 0.0), REFERENCES), [], "standard")
    on_cost = [gate.condition for gate in gates if is_on_cost(gate)]
    assert [text.split()[0] for text in on_cost] == ["the", "test", "retain"]
    assert len(gates) - len(on_cost) == 5
