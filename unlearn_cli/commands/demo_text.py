"""The summary that `unlearn-cli demo` ends with: sentences, the three networks side by side, and what to open next."""

from pathlib import Path

from unlearn_cli import console
from unlearn_cli.reporting.answers.certainty import describe_verdict
from unlearn_cli.reporting.answers.numbers import find_estimate, format_estimate
from unlearn_cli.reporting.report import Report
from unlearn_cli.reporting.sentences import CERTAINTY, COST, FORGETTING, list_sentences
from unlearn_cli.reporting.terminal import wrap_text
from unlearn_cli.stats.margins import AUC_MARGIN
from unlearn_cli.stats.power import auc_power
from unlearn_cli.stats.results import AttackResult, Estimate

WIDTH = 80
SPLITS = ("test_forget", "test_retain")
ROLES = {"original": "original", "subject": "unlearned", "reference": "reference"}
VERDICTS = {"passed_screen": "passed", "inconclusive": "undecided"}


def format_summary(out: Path, unlearned: Report, attack: Report) -> str:
    """Return the answers, one row per network, the meaning of the numbers, and the files to open next."""
    # the attacks are in the table
    measured = attack.model_copy(update={"metrics": unlearned.metrics, "attacks": []})
    answers = {sentence.question: sentence.text for sentence in list_sentences(measured)}
    answers[CERTAINTY] = _describe_certainty(attack)
    parts = [
        *(_format_answer(question, answers[question]) for question in (FORGETTING, COST, CERTAINTY)),
        "",
        _compare_networks(unlearned, attack),
        _fill(_explain_table(unlearned, attack)),
        "",
        _list_next_steps(out),
    ]
    return "\n".join(parts)


def _format_answer(question: str, text: str) -> str:
    return f"{question}\n{_fill(text, indent='  ')}"


def _fill(text: str, indent: str = "") -> str:
    return wrap_text(text, min(console.columns(), WIDTH), indent)


def _compare_networks(unlearned: Report, attack: Report) -> str:
    """Return one row per network: accuracy on odd and even digits, AUC of the attack, verdict by the same gates."""
    areas = {result.role: result.auc for result in attack.attacks if result.name == "population"}
    verdicts = dict(attack.judgement.calibration) if attack.judgement else {}
    verdicts["subject"] = attack.verdict or "inconclusive"
    rows = [
        [
            name,
            *(_format_percent(find_estimate(unlearned, role, split, "accuracy")) for split in SPLITS),
            format_estimate(areas.get(role)),
            VERDICTS.get(verdicts[role], verdicts[role]),
        ]
        for role, name in ROLES.items()
    ]
    return console.table("", ["", "odd, %", "even, %", "attack, AUC", "verdict"], rows, width=WIDTH)


def _format_percent(estimate: Estimate | None) -> str:
    return format_estimate(estimate, "accuracy").replace(" %", "")


def _explain_table(unlearned: Report, attack: Report) -> str:
    """Return what the columns mean, each with its n."""
    odd, even = (unlearned.manifest.splits[split].n for split in SPLITS)
    ours = _find_attack(attack)
    return (
        f"Accuracy on {odd} odd and {even} even test images; AUC of {ours.num_members} forgotten against "
        f"{ours.num_non_members} never-seen odd images, 0.5 is chance; [95 % intervals]."
    )


def _find_attack(attack: Report) -> AttackResult:
    return next(result for result in attack.attacks if (result.name, result.role) == ("population", "subject"))


def _describe_certainty(attack: Report) -> str:
    """Return the verdict, those of the controls, and why the margin of the AUC is wider than the default."""
    if attack.judgement is None:
        return "No verdict."
    margin, ours = attack.judgement.auc_margin, _find_attack(attack)
    sentences = describe_verdict(attack, attack.judgement)
    if margin != AUC_MARGIN and auc_power(ours.num_members, ours.num_non_members) != "enough":
        sentences.append(
            f"The margin of the AUC is {margin:g}: too few images for {AUC_MARGIN:g} (a power below 80 %)."
        )
    return " ".join(sentences)


def _list_next_steps(out: Path) -> str:
    next_steps = {
        f"{out}/attack/report.html": "the report of the attacks, for a browser",
        f"{out}/unlearned/report.html": "the report of the unlearning",
        f"{out}/noise.png": "the learned noise",
        f"{out}/manifest.yaml": "change 'forget', run commands.sh again",
        "unlearn-cli unlearn --help": "unlearn your own checkpoint",
    }
    return "\n".join(["Next:", *console.format_two_columns(list(next_steps.items()))])
