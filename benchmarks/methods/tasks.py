"""The tasks of the benchmark of methods: data, what is forgotten, how the networks are trained, and the methods.

Defaults of methods are chosen on development tasks only; validation tasks are run once, when the defaults are fixed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from benchmarks.attacks.calibration_tasks import TASKS as CALIBRATION
from benchmarks.cache import HERE
from unlearn_cli.plugins.run_options import Precision

Kind = Literal["classes", "records", "one record", "regression"]
Recipe = Mapping[str, object]

SEEDS = (0, 1, 2)
ONE_SEED = ("gkt",)  # minutes a run
CLASS_METHODS = ("masked", "unsir", "bad_teacher", "amnesiac", "neggrad", "finetune")
AMNESIAC_USUAL = "amnesiac:impair_lr=0.001,repair_lr=0.001"
RETAIN_FREE = "masked:keep=none"  # a method with a setting that is not the default
ZERO_SHOT = ("head", "gkt", "emmn")
RECORD_METHODS = ("rank_match", "distil", "amnesiac", "bad_teacher", "neggrad", "finetune")
VERDICT_METHODS = ("masked", "unsir", "bad_teacher", "amnesiac", "neggrad")  # half a minute a run
VERDICT_OF_CIFAR = ("masked",)  # half an hour a run: relearning
RANGE_METHODS = ("blindspot", "gaussian_amnesiac", "finetune")
REGRESSION_METHODS = ("rank_match", *RANGE_METHODS)  # rank_match refuses ranges of the label
FORGET_FIRST = "{ids: [1]}"  # the first training record: every fifth record, from number 0, is in test


def recipe(**settings: object) -> tuple[str, ...]:
    """Return settings of `train` as words of the command line."""
    return tuple(word for name, value in settings.items() for word in ("--set", f"{name}={value}"))


@dataclass(frozen=True)
class Task:
    """A manifest with its blanks filled in, the training of the networks, and the methods that are compared.

    Run s of a method starts from the original of the seed originals[s mod len(originals)].
    """

    kind: Kind
    manifest: str
    training: tuple[str, ...]
    methods: tuple[str, ...]
    blanks: Mapping[str, str] = field(default_factory=dict)
    validation: bool = False
    seeds: tuple[int, ...] = SEEDS  # of the runs of a method
    originals: tuple[int, ...] = SEEDS
    references: tuple[int, ...] = SEEDS
    pool: str = ""  # of the calibration, whose networks are used
    original_of: str = ""  # another task on the same data, whose originals are used
    checkpoint: str = ""  # a prepared checkpoint is the original
    needs_gpu: bool = False  # hours on a CPU
    precision: Precision = "fp32"
    verdict: tuple[str, ...] = ()  # methods for which the standard tier is run
    relearning: tuple[str, ...] = ()  # settings of the attack `relearn`, in place of its defaults

    @property
    def text(self) -> str:
        """The manifest; DATA and PREPARED still stand for folders."""
        text = (HERE / "manifests" / f"{self.manifest}.yaml").read_text(encoding="utf-8")
        for blank, value in self.blanks.items():
            text = text.replace(blank, value)
        return text


def forget(value: object) -> dict[str, str]:
    return {"FORGET": str(value)}


def classes(*numbers: int) -> dict[str, str]:
    return {"CLASSES": str(list(numbers))}


BF16 = ("--precision", "bf16")  # convolutions train twice as fast on the CPU; everything else is in fp32
CIFAR = (*recipe(epochs=15, optimizer="sgd", lr=0.1, weight_decay=0.0005), *BF16)
RESNET = (*recipe(epochs=24, optimizer="sgd", lr=0.2, weight_decay=0.0005), *BF16)
RESNET18 = (*recipe(epochs=20, optimizer="sgd", lr=0.1, weight_decay=0.0005), *BF16)
VIT = (*recipe(epochs=30, lr=0.001), *BF16)
LONG_RELEARNING = ("max_steps=600", "check_every=20", "repeats=1")  # references need about 400 steps
FOUR = (0, 1, 2, 3)
POOL = CALIBRATION["cifar"]


def records_and(epochs: int, lr: str = "") -> tuple[str, ...]:
    """Return the methods for records, and a retraining that is as short as makes it cost about what rank_match does."""
    return (*RECORD_METHODS, f"retrain:epochs={epochs}{lr}")


def make_persons(*forgotten: int) -> Task:
    """Return the task of forgetting made persons, whose digits are easier or harder than those of the test persons."""
    blanks = {"PERSONS": str(list(forgotten))}
    return Task("records", "made_persons", recipe(epochs=20), records_and(16), blanks, references=(*FOUR, 4, 5))


DEVELOPMENT = {
    "cardiotocography": Task(
        "records",
        "cardiotocography",
        recipe(epochs=60, lr=0.005),
        records_and(26, ",lr=0.005"),
        references=(*FOUR, 4, 5),
    ),
    "memorising": Task(
        "records",
        POOL.manifest,
        (),
        records_and(26),
        forget(POOL.forget.replace("SHARE", f"{POOL.share:g}")),
        originals=(200, 201, 202),
        references=tuple(range(POOL.num_references)),
        pool="cifar",
    ),
    "random_10": Task("records", "random_10", recipe(epochs=15), records_and(13)),
    "random_1": Task("records", "random_1", recipe(epochs=15), records_and(9)),
    "cifar_subclass": Task(
        "records", "cifar_subclass", CIFAR, RECORD_METHODS, seeds=(0,), originals=(0,), references=(0, 1)
    ),
    "made_persons_1": make_persons(19, 31),
    "made_persons_2": make_persons(2, 3),
    "made_persons_3": make_persons(7, 12),
    "digits_one": Task(
        "one record", "digits_mlp", recipe(epochs=30), RECORD_METHODS, forget(FORGET_FIRST), references=FOUR
    ),
    "fashion_class": Task(
        "classes",
        "fashion_lenet5",
        recipe(epochs=10),
        (*CLASS_METHODS, RETAIN_FREE, *ZERO_SHOT),
        classes(0),
        verdict=VERDICT_METHODS,
    ),
    "digits_class": Task("classes", "digits_class", recipe(epochs=20, lr=0.005), ZERO_SHOT, references=FOUR),
    "cifar_class": Task(
        "classes",
        "cifar_resnet20",
        RESNET,
        (*CLASS_METHODS, RETAIN_FREE, "head"),
        classes(0),
        originals=(0,),
        references=(0, 1),
        verdict=VERDICT_OF_CIFAR,
        relearning=LONG_RELEARNING,
    ),
    "cifar_resnet18": Task(  # wide layers: the default rates, which follow the width, and the usual ones
        "classes",
        "cifar_resnet18",
        (*recipe(epochs=4, optimizer="sgd", lr=0.1, weight_decay=0.0005), *BF16),
        ("masked", "masked:lr=0.001", "amnesiac", AMNESIAC_USUAL, "neggrad", "neggrad:lr=0.001"),
        classes(0),
        seeds=(0,),
        originals=(0,),
        references=(),
        precision="bf16",
    ),
    "cifar_two_classes": Task(
        "classes",
        "cifar_two_classes",
        CIFAR,
        (*CLASS_METHODS, RETAIN_FREE),
        originals=(0,),
        references=(0, 1),
        verdict=VERDICT_OF_CIFAR,
        relearning=LONG_RELEARNING,
    ),
    "housing_range": Task("regression", "housing_range", recipe(epochs=40, lr=0.005), RANGE_METHODS, references=FOUR),
    "housing_random": Task(
        "regression",
        "housing_random",
        recipe(epochs=40, lr=0.005),
        REGRESSION_METHODS,
        references=FOUR,
    ),
    "stsb_scores": Task("regression", "stsb_scores", recipe(epochs=6, lr=0.005), RANGE_METHODS, references=FOUR),
    "rotation_range": Task("regression", "rotation_range", recipe(epochs=20), RANGE_METHODS, references=FOUR),
}


def make_stranger(number: int) -> Task:
    """Return the task of forgetting a class of CIFAR-10 with a network that others trained; it has no references."""
    return Task(
        "classes",
        "stranger",
        (),
        (*CLASS_METHODS, RETAIN_FREE, "head"),
        classes(number),
        validation=True,
        seeds=(0,),
        originals=(0,),
        references=(),
        checkpoint="stranger",
    )


def make_cifar100(architecture: str, training: tuple[str, ...], count: int, original_of: str) -> Task:
    """Return the task of forgetting the first classes of CIFAR-100; there is a reference for five."""
    return Task(
        "classes",
        "cifar100",
        training,
        CLASS_METHODS,
        {"ARCHITECTURE": architecture, **classes(*range(count))},
        validation=True,
        seeds=(0,),
        originals=(0,),
        references=(0,) if count == 5 else (),
        original_of="" if count == 5 else original_of,
        needs_gpu="resnet18" in architecture,
    )


VALIDATION = {
    "wisdm_persons": Task(
        "records", "wisdm_persons", recipe(epochs=20), records_and(17), validation=True, references=(*FOUR, 4, 5)
    ),
    "adult_random": Task(
        "records",
        "adult",
        recipe(epochs=20),
        RECORD_METHODS,
        forget("{fraction: {share: 0.05, seed: 0}}"),
        validation=True,
        references=FOUR,
    ),
    "adult_country": Task(
        "records",
        "adult",
        recipe(epochs=20),
        RECORD_METHODS,
        forget('{where: [{column: country, op: "==", value: Mexico}]}'),
        validation=True,
        references=FOUR,
    ),
    "adult_one": Task(
        "one record", "adult", recipe(epochs=20), RECORD_METHODS, forget(FORGET_FIRST), validation=True, references=FOUR
    ),
    **{f"stranger_{number}": make_stranger(number) for number in range(10)},
    **{
        f"cifar100_{name}_{count}": make_cifar100(architecture, training, count, f"cifar100_{name}_5")
        for name, architecture, training in (
            ("resnet20", "resnet20", RESNET),
            ("resnet18", "torchvision/resnet18, stem: cifar", RESNET18),
            ("vit", '"benchmarks.methods.architectures:small_vit"', VIT),
        )
        for count in (1, 5, 20)
    },
    "beijing_month": Task(
        "regression", "beijing_month", recipe(epochs=20), REGRESSION_METHODS, validation=True, references=FOUR
    ),
    "beijing_range": Task(
        "regression", "beijing_range", recipe(epochs=20), RANGE_METHODS, validation=True, references=FOUR
    ),
}
TASKS = {**DEVELOPMENT, **VALIDATION}
