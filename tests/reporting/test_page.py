"""The page: whole, harmless, the same every time, and able to say that something is missing."""

import re
from functools import cache
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from unlearn_cli.console import visible
from unlearn_cli.reporting.html import render
from unlearn_cli.reporting.html.charts import MAX_POINTS, compute_null_band, thin_points
from unlearn_cli.reporting.html.noise_grid import describe_noise, draw_noise_grid
from unlearn_cli.reporting.report import Checkpoint, Manifest, Report, Run, Split
from unlearn_cli.stats.results import AttackResult, Cost, Curve, Estimate, LabelScore, Rates
from unlearn_cli.verdict.judgement import Gate

EVIL = "<script>alert(1)</script>"
VOID = {"meta", "br", "img", "link", "hr", "input"}


@cache
def page_of_full_report() -> str:
    return render(full_report())


@cache
def page_with_noise() -> str:
    return render(full_report(), (draw_noise_grid(noise(), ["airplane", "cat"]), "a caption"))


def test_the_page_is_well_formed_and_says_what_the_report_says() -> None:
    page = page_with_noise()
    assert balanced(page) == []
    for text in (
        "93.4",
        "91.2\u201395.1",
        "n 1,000",
        "test_forget.accuracy &lt;= 0.02",
        "24 of 500",
        "0.1\u00a0%",
        "KEEP_BOTH",
    ):
        assert text in page
    assert page.count("<svg") == 5
    assert "data:image/png;base64," in page


def test_the_page_asks_for_nothing_from_outside_and_runs_nothing() -> None:
    page = page_with_noise()
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r"https?://|<script|<link|@import|<iframe|javascript:| on\w+=", without_namespaces)
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    assert "default-src 'none'" in page


def test_every_id_is_there_once() -> None:
    ids = re.findall(r' id="([^"]*)"', page_of_full_report())
    assert len(ids) == len(set(ids))


def test_names_are_text_everywhere_also_in_pictures() -> None:
    report = full_report(name=EVIL)
    page = render(report, (draw_noise_grid(noise(), [EVIL, "$x$"]), describe_noise([EVIL], EVIL)))
    assert "<script" not in page
    svgs = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in svgs
    assert "<script" not in svgs
    assert balanced(page) == []


@pytest.mark.parametrize("name", ["\x1b[31mred a\x00b c\x9bd two\nlines", "\r\x7f"])
def test_control_characters_in_names_are_question_marks(name: str) -> None:
    page = render(full_report(name=name), (draw_noise_grid(noise(), [name, "x"], name), describe_noise([name], "")))
    assert {letter for letter in page if not letter.isprintable()} <= {"\n", "\t", "\xa0"}
    assert visible(name) in page


def test_ties_are_counted_in_pairs() -> None:
    page = page_of_full_report()
    assert f"{attack().num_members * attack().num_non_members:,} pairs" in page


def test_letters_that_the_font_lacks_are_no_warning() -> None:
    assert "猫" in render(full_report(name="猫 $x_1$"), (draw_noise_grid(noise(), ["猫", "собака"], "猫"), "猫"))


def test_a_report_with_nothing_optional_still_makes_a_page() -> None:
    page = render(bare_report())
    assert balanced(page) == []
    assert "No gates, so no verdict" in page
    assert "<svg" not in page


def test_a_missing_number_is_told_with_its_reason() -> None:
    missing = Estimate(value=None, n=0, reason="the manifest names no data")
    report = bare_report(metrics={"subject": {"test": {"accuracy": missing}}})
    page = render(report)
    assert "accuracy test: the manifest names no data" in page


def test_an_attack_without_numbers_still_makes_a_page() -> None:
    nothing = Estimate(value=None, n=0, reason="no members")
    rates = [Rates(fpr=0.001, tpr=nothing, tpr_mirrored=nothing, false_positives=None, null=None)]
    fields = [name for name, field in AttackResult.model_fields.items() if field.annotation is Estimate]
    empty = attack().model_copy(
        update={
            **dict.fromkeys(fields, nothing),
            "rates": rates,
            "ppv_at_prior": {"0.5": None},
            "num_members": 0,
            "num_non_members": 0,
            "roc": [],
            "histogram": {},
        }
    )
    page = render(bare_report(attacks=[empty]))
    assert balanced(page) == []
    assert "no members" in page


def test_a_regression_is_drawn_by_its_error() -> None:
    test = {"test": {"mae": Estimate(value=3.14159, n=80, low=2.9, high=3.4)}}
    page = render(bare_report(metrics={"original": test, "subject": test}, task="regression"))
    assert "3.142" in page
    assert "mae per split" in page


@pytest.mark.parametrize("verdict", ["passed", "failed", "inconclusive", None])
def test_no_verdict_promises_more_than_was_measured(verdict: str | None) -> None:
    page = render(full_report().model_copy(update={"verdict": verdict, "attacks": [], "curves": []}))
    assert not re.search(r"\b(private|guaranteed?|certified)\b", page, re.IGNORECASE)


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render(full_report()) == page_of_full_report()


def test_long_curves_are_thinned_and_keep_their_end_and_their_gaps() -> None:
    steps, values = thin_points([None, *[float(step) for step in range(100_000)]])
    assert len(steps) <= MAX_POINTS + 1
    assert (steps[-1], values[-1]) == (100_001, 99_999.0)
    assert np.isnan(values[0])


def test_many_curves_share_a_legend_that_says_how_many_it_leaves_out() -> None:
    lines = [Curve(phase="noise", name=f"class number {index} of the twelve", values=[1.0, 0.5]) for index in range(12)]
    page = render(bare_report(curves=lines))
    assert "4 more" in page
    assert "class number 7 of the" in page


def test_the_null_band_holds_nine_tenths_of_guessing_attacks() -> None:
    rng = np.random.default_rng(0)
    x, low, high = compute_null_band(200, 300)
    at = int(np.searchsorted(x, 0.1))
    thresholds = np.sort(rng.random((4000, 300)), axis=1)[:, -round(x[at] * 300) - 1]
    found = (rng.random((4000, 200)) > thresholds[:, None]).mean(axis=1)
    assert 0.88 < np.mean((found >= low[at]) & (found <= high[at])) < 0.96  # discrete: a little above 0.9


def test_the_noise_grid_is_the_same_every_time_and_has_a_row_a_class() -> None:
    labels = ["airplane", "a class with a very long name, too long for a margin"]
    assert draw_noise_grid(noise(), labels) == draw_noise_grid(noise(), labels)
    one, two = (Image.open(BytesIO(draw_noise_grid(noise()[:k], labels[:k]))) for k in (1, 2))
    assert two.height > 1.9 * one.height
    assert not two.info


def test_a_caption_is_below_the_rows_and_says_what_they_show() -> None:
    caption = describe_noise(["airplane", "cat"], "maximize")
    assert "airplane, cat" in caption
    assert "error for the class is as large as possible" in caption
    with_caption, without = (Image.open(BytesIO(draw_noise_grid(noise(), ["a", "b"], text))) for text in (caption, ""))
    assert with_caption.height > without.height + 2 * 19
    below = np.asarray(with_caption)[without.height :]
    assert (below < 128).any()
    assert (below[:, -6:] == 255).all()  # no line is cut at the edge


@pytest.mark.parametrize("shape", [(2, 3, 1, 28, 28), (1, 12, 3, 224, 224), (2, 5, 13), (1, 2, 4, 8, 8), (1, 1, 30000)])
def test_noise_of_any_shape_is_drawn(shape: tuple[int, ...]) -> None:
    values = np.full(shape, np.nan)
    assert draw_noise_grid(values, ["x"] * shape[0]).startswith(b"\x89PNG")


def balanced(page: str) -> list[str]:
    """Return the elements that are closed wrongly, or never."""
    stack: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in VOID:
                stack.append(tag)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None: ...

        def handle_endtag(self, tag: str) -> None:
            stack.append(f"/{tag}") if not stack or stack[-1] != tag else stack.pop()

    Reader().feed(page)
    return stack


def noise() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 9, 3, 32, 32))


def full_report(name: str = "airplane") -> Report:
    """Build a report in which everything that the schema knows is there; `name` is that of the class to forget."""
    classes = [name, "automobile", "bird", "cat"]
    digest = "4f0c" * 16
    train = dict.fromkeys(classes, 250)
    splits = {
        "train": Split(n=1000, ids_digest=digest, classes=train),
        "forget": Split(n=250, ids_digest=digest, classes={name: 250}),
        "retain": Split(n=750, ids_digest=digest, classes=dict.fromkeys(classes[1:], 250)),
        "test": Split(n=1000, ids_digest=digest, classes=train),
    }
    manifest = Manifest(
        manifest_digest=digest,
        task="classification",
        architecture="allcnn",
        classes=classes,
        forget_classes=[name],
        splits=splits,
        checks={"forget_and_retain_are_disjoint": True, "no_duplicates": False},
    )
    gates = [
        Gate(condition="test_forget.accuracy <= 0.02", verdict="passed", value=share(0.004, 250), limit=0.02),
        Gate(
            condition="test_retain.accuracy >= original - 0.02", verdict="failed", value=share(0.901, 750), limit=0.923
        ),
        Gate(
            condition="loss.auc_deviation <= 0.05",
            verdict="inconclusive",
            value=Estimate(value=0.031, n=500, low=0.0, high=0.07),
            limit=0.05,
            reason="the interval holds the limit",
        ),
    ]
    curves = [
        Curve(phase=f"noise {name}", name=name, values=[float(v) for v in 4 * np.exp(-np.arange(900) / 150) + 0.1]),
        Curve(phase=f"noise {name}", name="cat", values=[float(v) for v in 3 * np.exp(-np.arange(900) / 250) + 0.1]),
        Curve(phase="impair", name="loss", values=[2.1, 1.4, None, 0.9, 0.82]),
    ]
    return bare_report().model_copy(
        update={
            "manifest": manifest,
            "method": "unsir",
            "inputs": ["model", "retain", "noise"],
            "metrics": metrics(),
            "gates": gates,
            "verdict": "failed",
            "curves": curves,
            "attacks": [attack()],
            "caveats": [f"KEEP_BOTH: both versions exist of {name}"],
            "settings": {"lr": 0.0001, "layers": {"first": 1, name: [1, 2]}},
            "original": checkpoint("original"),
            "references": [checkpoint("reference")],
            "cost": Cost(samples_forward=120_000, samples_backward=60_000, optimizer_steps=470),
        }
    )


def bare_report(**changes: object) -> Report:
    """Build a report with everything optional missing, but for the changes given."""
    task = changes.pop("task", "classification")
    fields = {
        "tool_version": "0.1.0",
        "command": "unlearn",
        "seed": 0,
        "environment": {"python": "3.12.1", "torch": "2.15.0", "threads": 2},
        "run": Run(
            id="7d1c6e2e-0000",
            started="2026-11-20T08:00:00Z",
            finished="2026-11-20T08:03:41Z",
            seconds={"impair": 12.34, "repair": 187.0},
            peak_memory_bytes=812_000_000,
        ),
        "manifest": Manifest(manifest_digest="ab" * 32, task=task, architecture="mlp"),  # pyright: ignore[reportArgumentType]
        "subject": checkpoint("subject"),
    } | changes
    return Report.model_validate(fields)


def checkpoint(role: str) -> Checkpoint:
    return Checkpoint.model_validate(
        {
            "role": role,
            "name": f"{role}.safetensors",
            "file_sha256": "5ea1" * 16,
            "tensor_digest": "c0de" * 16,
            "parameters": 1_369_738,
            "lineage": {"parent": "beef" * 16} if role == "subject" else {},
        }
    )


def metrics() -> dict[str, dict[str, dict[str, Estimate]]]:
    accuracies = {
        "original": (0.998, 0.995, 0.94, 0.934),
        "subject": (0.012, 0.981, 0.0, 0.901),
        "reference": (0.0, 0.993, 0.0, 0.931),
    }
    splits = ("forget", "retain", "test_forget", "test_retain")
    measured = {}
    for role, values in accuracies.items():
        measured[role] = {split: both(value) for split, value in zip(splits, values, strict=True)}
    measured["original"]["test_retain"]["accuracy"] = share(0.934, 1000, 0.912, 0.951)
    measured["reference"]["test_forget"]["loss"] = Estimate(value=None, n=250, reason="a logit is not finite")
    return measured


def both(value: float) -> dict[str, Estimate]:
    return {"accuracy": share(value, 1000), "loss": Estimate(value=2.5 - 2.4 * value, n=1000, low=0.05, high=3.0)}


def share(value: float, n: int, low: float | None = None, high: float | None = None) -> Estimate:
    half = 1.96 * (value * (1 - value) / n + 1 / n**2) ** 0.5
    low, high = max(0.0, value - half) if low is None else low, min(1.0, value + half) if high is None else high
    return Estimate(value=value, n=n, low=low, high=high, interval="wilson")


def attack() -> AttackResult:
    """Build the block of an attack on normal scores, one with a few members that stand out."""
    rng = np.random.default_rng(1)
    members, others = np.append(rng.normal(0.1, 1, 480), rng.normal(4.5, 0.4, 20)), rng.normal(0, 1, 500)
    edges = np.linspace(-4, 6, 31)
    counts = [np.histogram(side, edges)[0] / len(side) for side in (members, others)]
    thresholds = np.sort(others)[::-1]
    roc = [(k / 500, float(np.mean(members > threshold))) for k, threshold in enumerate(thresholds)] + [(1.0, 1.0)]
    rates = [
        Rates(
            fpr=0.001,
            tpr=Estimate(value=None, n=500, reason="needs 1,000 non-members"),
            false_positives=None,
            null=None,
            tpr_mirrored=Estimate(value=None, n=500, reason="needs 1,000 non-members"),
        ),
        Rates(
            fpr=0.01,
            tpr=share(0.048, 500),
            tpr_mirrored=share(0.008, 500),
            false_positives=5,
            null=6 / 501,
            low_resolution=True,
        ),
        Rates(
            fpr=0.05,
            tpr=share(0.076, 500),
            tpr_mirrored=share(0.044, 500),
            false_positives=25,
            null=26 / 501,
            false_positives_mirrored=25,
        ),
    ]
    return AttackResult(
        name="loss",
        tier="quick",
        num_members=500,
        num_non_members=500,
        rates=rates,
        ties_share=0.0004,
        auc=Estimate(value=0.547, n=1000, low=0.511, high=0.583, interval="delong"),
        auc_deviation=Estimate(value=0.047, n=1000, low=0.011, high=0.083, interval="delong"),
        balanced_accuracy=share(0.531, 500),
        advantage=Estimate(value=0.062, n=500, low=-0.02, high=0.14),
        max_advantage=Estimate(value=0.104, n=1000),
        epsilon_lower_bound=Estimate(value=0.0, n=500),
        ppv_at_prior={"0.5": 0.61, "0.1": 0.148, "0.01": None},
        settings={"temperature": 1.0, "folds": 5},
        roc=roc,
        histogram={"edges": edges.tolist(), "members": counts[0].tolist(), "non_members": counts[1].tolist()},
        warnings=["SINGLE_MODEL_CI: the intervals do not cover another training run"],
    )


def test_every_label_of_multilabel_records_has_a_table_of_scores() -> None:
    scores = [
        LabelScore(
            split="test",
            role=role,
            label="<beach>",
            n=40,
            num_with_label=8,
            f1=Estimate(value=value, n=40, low=0.5, high=0.9),
            average_precision=Estimate(value=None, n=40, reason="no record has the label"),
        )
        for role, value in (("subject", 0.625), ("original", 0.75))
    ]
    page = render(full_report().model_copy(update={"labels": scores}))
    assert balanced(page) == [] and "Every label" in page and "&lt;beach&gt;" in page
    assert "0.625" in page and "0.75" in page
    assert "no record has the label" in page
    assert "Every label" not in page_of_full_report()
