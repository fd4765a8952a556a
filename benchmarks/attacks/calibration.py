"""How often does the verdict fail what it should not, and detect what it should? Real networks, drawn from a pool.

python -m benchmarks.attacks.calibration [task ...]

Each repetition draws four references and one subject of a row from the networks of a task (see calibration_tasks.py),
and judges the subject by the gates of the standard tier. Subjects are retrains by the references' and by other recipes,
originals, networks that were trained on a share of the forgotten records, and controls: a network with random weights,
the original with one edited row (mask), forgotten records pushed below never-seen ones (Streisand) or named as another
class (label leak). Of persons, each repetition draws anew which persons count as forgotten, among those that neither
the subject nor the references saw. Writes the sections of these tasks in results/calibration.md.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np

from benchmarks.attacks.calibration_networks import (
    Network,
    Pool,
    make_candidate,
    name_another_class,
    push_down,
)
from benchmarks.attacks.calibration_tasks import TASKS, Task, train_references, train_subjects
from benchmarks.output import RESULTS, write_result
from unlearn_cli.stats.outputs import join
from unlearn_cli.stats.roc import auc
from unlearn_cli.verdict.judgement import Gate
from unlearn_cli.verdict.judging import MASK, find_worst, judge

REPETITIONS, REFERENCES, MANY_REFERENCES = 30, 4, 8
PERSONS = "persons"  # the task whose forgotten persons are drawn anew
MASKS = 3
SHORT = {
    "forgotten against never-seen records, relative to the references: AUC within 0.05 of 1/2": "contrast",
    "forgotten against never-seen records, relative to the references: AUC of the distance from the median within 0.05"
    " of 1/2": "contrast, folded",
    "population AUC within 0.05 of 1/2": "population",
    "distribution over the other classes at most 1.5 times as far as between references": "distribution",
    "relearned in at least 1/2 of the references' steps": "relearning",
    "outputs on forget not nearer to the original's than to those of retraining": "nearer to the original",
    "the outputs differ between records and classes": "constant outputs",
}


@dataclass(frozen=True)
class Trial:
    """One repetition: the gates of the standard tier, whether the quick tier fails, and what is estimated."""

    gates: list[Gate]
    standard_failed: bool  # with eight references
    quick_failed: bool  # without references
    area: float
    covers_half: bool

    @property
    def failed_gates(self) -> list[str]:
        return [SHORT.get(gate.condition, gate.condition) for gate in self.gates if gate.verdict == "failed"]

    @property
    def verdict(self) -> str:
        return find_worst(self.gates)


def format_row(subject: str, trials: Sequence[Trial]) -> str:
    verdicts = Counter(trial.verdict for trial in trials)
    failed = Counter(chain.from_iterable(trial.failed_gates for trial in trials)).most_common()
    undecided = Counter(
        SHORT.get(gate.condition, gate.condition)
        for trial in trials
        for gate in trial.gates
        if trial.verdict == "inconclusive" and gate.verdict == "inconclusive" and gate.required
    ).most_common(2)
    agreed = sum(trial.quick_failed == trial.standard_failed for trial in trials)
    cells = [
        subject,
        f"{verdicts['failed']} of {len(trials)}",
        str(verdicts["inconclusive"]),
        f"{np.mean([trial.area for trial in trials]):.3f}",
        str(agreed),
        "; ".join(f"{name} {count}" for name, count in failed),
        "; ".join(f"{name} {count}" for name, count in undecided),
    ]
    return f"| {' | '.join(cells)} |"


def run_trial(pool: Pool, network: Network, references: Sequence[Network], random: np.random.Generator) -> Trial:
    """Judge one network with four and with eight of the references, and without any."""
    networks, with_original = [network, *references, pool.original], pool.task is not TASKS[PERSONS]
    if not with_original:  # it saw some of the persons that are drawn
        networks = divide_persons(networks, random)
    network, *others, original = networks
    judged = [
        make_candidate(network, chosen, original, whole_classes=pool.whole_classes, with_original=with_original)
        for chosen in (others[:REFERENCES], others[:MANY_REFERENCES], [])
    ]
    if network.is_mask:
        judged = [replace(candidate, role=MASK) for candidate in judged]
    of_few, of_many, of_none = (
        judge(candidate, [], tier)[0] for candidate, tier in zip(judged, ("standard", "standard", "quick"), strict=True)
    )
    scores = judged[0].scores["retrain_contrast"]
    area = auc(scores.members, scores.non_members, scores.groups)
    low, high = (0.0, 1.0) if area.low is None or area.high is None else (area.low, area.high)
    return Trial(
        of_few, find_worst(of_many) == "failed", find_worst(of_none) == "failed", area.value or 0.0, low <= 0.5 <= high
    )


def divide_persons(networks: Sequence[Network], random: np.random.Generator) -> list[Network]:
    """Draw anew which never-seen persons count as forgotten; the others are the hold-out."""
    first = networks[0].outputs
    together = [join([network.outputs["forget"], network.outputs["test"]]) for network in networks]
    groups = together[0].groups
    assert groups is not None and first["forget"].groups is not None
    persons = np.unique(groups)
    drawn = random.choice(persons, len(np.unique(first["forget"].groups)), replace=False)
    mask = np.isin(groups, drawn)
    return [
        replace(
            network,
            outputs={
                **network.outputs,
                "forget": everyone.take(mask),
                **dict.fromkeys(("test", "holdout"), everyone.take(~mask)),
            },
        )
        for network, everyone in zip(networks, together, strict=True)
    ]


def list_rows(pool: Pool, workers: ThreadPoolExecutor) -> Iterator[tuple[str, list[Callable[[], Network]]]]:
    """Yield the name of each row and its networks, which are measured when they are drawn."""
    trained = train_subjects(pool.task, workers)
    for name, folders in trained.items():
        if name != "original" or pool.task is not TASKS[PERSONS]:  # persons are drawn among never-seen ones
            yield name, [partial(pool.load, folder) for folder in folders]
    retrained = [partial(pool.load, folder) for folder in trained["same recipe"]]
    yield "random weights", [partial(pool.make_destroyed, number) for number in range(2)]
    if pool.task is TASKS[PERSONS]:
        return
    yield "Streisand", [partial(_edit, push_down, load) for load in retrained]
    yield "label leak", [partial(_edit, name_another_class, load) for load in retrained]
    if pool.whole_classes:
        references = train_references(pool.task, workers)
        masks = [partial(pool.make_mask, references[number : number + 4], number) for number in range(MASKS)]
        yield "mask", masks
    for method, *settings in pool.task.methods:
        folders = [pool.task.unlearn(method, seed, *settings) for seed in range(2)]
        yield f"method {method}", [partial(pool.load, folder) for folder in folders]


def _edit(edit: Callable[[Network], Network], load: Callable[[], Network]) -> Network:
    return edit(load())


def judge_task(name: str) -> Iterator[tuple[str, list[Trial]]]:
    """Judge the networks of a task; yield the trials of each row."""
    pool = Pool(TASKS[name])
    with ThreadPoolExecutor(1) as workers:
        references = [pool.load(folder) for folder in train_references(pool.task, workers)]
        for seed, (subject, loaders) in enumerate(list_rows(pool, workers)):
            random, networks = np.random.default_rng(seed), [load() for load in loaders]
            trials = []
            for _ in range(REPETITIONS):
                network = networks[int(random.integers(len(networks)))]
                drawn = [references[i] for i in random.permutation(len(references))[:MANY_REFERENCES]]
                trials.append(run_trial(pool, network, drawn, random))
            yield subject, trials


def summarize(rows: dict[str, list[Trial]], task: Task) -> str:
    """Return the rates of honest retrains, the coverage of their intervals, and the agreement of the tiers."""
    honest = [
        trial for subject, trials in rows.items() if subject in {"same recipe", *task.recipes} for trial in trials
    ]
    everyone = [trial for trials in rows.values() for trial in trials]
    verdicts, count = Counter(trial.verdict for trial in honest), len(honest)
    covered = np.mean([trial.covers_half for trial in honest])
    agreed = np.mean([trial.quick_failed == trial.standard_failed for trial in everyone])
    return (
        f"Honest retrains: failed {verdicts['failed']} of {count} ({verdicts['failed'] / count:.1%}), inconclusive "
        f"{verdicts['inconclusive']} ({verdicts['inconclusive'] / count:.1%}); {covered:.1%} of the intervals of the "
        f"contrast's AUC cover 1/2. The tiers agree in {agreed:.1%} of {len(everyone)} repetitions."
    )


HEAD = f"""# Calibration of the verdict

{REPETITIONS} repetitions per row, each with {REFERENCES} references and one subject drawn from the pool; gates of the
standard tier, on all of test. **failed**: at least one gate fails; **inconclusive**: none fails, and a required gate is
not decided. **AUC**: of the contrast with never-seen records, mean over the repetitions. **agreement**: repetitions in
which the quick tier without references and the standard tier with {MANY_REFERENCES} both fail or both do not.
Command: `python -m benchmarks.attacks.calibration`; with names of tasks, it replaces only their sections.
"""
TABLE = """| subject | failed | inconclusive | AUC | agreement | gates that failed | gates not decided |
|---|---|---|---|---|---|---|
"""


def format_section(name: str, rows: dict[str, list[Trial]]) -> str:
    lines = [format_row(subject, trials) for subject, trials in rows.items()]
    text = "\n".join(lines)
    return f"{name}\n\n{TASKS[name].about}\n\n{TABLE}{text}\n\n{summarize(rows, TASKS[name])}\n"


def replace_sections(sections: dict[str, str]) -> str:
    """Return the text of the result with these sections, and the older ones of other tasks, in the order of TASKS."""
    path = RESULTS / "calibration.md"
    older = path.read_text(encoding="utf-8").split("\n## ")[1:] if path.is_file() else []
    by_name = {section.partition("\n")[0]: section.rstrip("\n") + "\n" for section in older} | sections
    return "\n## ".join([HEAD, *(by_name[name] for name in TASKS if name in by_name)])


def main(names: list[str]) -> None:
    for name in names or TASKS:
        rows = {}
        for subject, trials in judge_task(name):
            rows[subject] = trials
            print(format_row(subject, trials), flush=True)
        print(summarize(rows, TASKS[name]), flush=True)
        write_result("calibration.md", replace_sections({name: format_section(name, rows)}))


if __name__ == "__main__":
    main(sys.argv[1:])
