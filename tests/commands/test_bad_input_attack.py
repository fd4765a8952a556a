"""Bad input to `attack` and `shadow`; one line, exit code 2, nothing written."""

from collections.abc import Callable

import pytest

from tests.commands.bad_input_cases import (
    ATTACK,
    SHADOW,
    C,
    Case,
    M,
    wrong,
)

CASES = [
    wrong("attacking without data", "attack model.safetensors --manifest zero.yaml", "zero.yaml", "no data"),
    wrong("tier unknown", f"attack {C} --manifest {M} --tier quik", "--tier", "did you mean 'quick'?"),
    wrong("attack unknown", f"attack {C} --manifest {M} --attack populaton", "did you mean 'population'?"),
    wrong("tier required unknown", f"{ATTACK} --require-tier quik", "--require-tier quik", "quick, standard, audit"),
    wrong("tier required of none", f"{ATTACK} --attack population --require-tier quick", "--require-tier", "--tier"),
    wrong("audit without shadow runs", f"{ATTACK} --tier audit", "--shadows", "unlearn-cli shadow"),
    wrong("shadow runs missing", f"{ATTACK} --shadows nowhere", "--shadows nowhere", "there are no shadow runs"),
    wrong("pictures without a folder", f"{ATTACK} --attack population --pictures", "--pictures", "--out"),
    wrong("setting of an attack that is not run", f"{ATTACK} --set rmia.a=1", "--set rmia.a=1", "'rmia' is not one of"),
    wrong("setting of no attack", f"{ATTACK} --set statistik=loss", "--set", "did you mean 'statistic'?"),
    wrong("attack that needs references", f"{ATTACK} --attack rmia", "--attack rmia", "--reference"),
    wrong("attack of another task", f"{ATTACK} --attack svc_l1", "--attack svc_l1", "regression"),
    wrong("JUnit file in no folder that may be written", f"{ATTACK} --junit {M}", M, "--overwrite"),
    wrong("shadow cells of letters", f"{SHADOW} --cells all", "--cells all", "0-31"),
    wrong("shadow cells backwards", f"{SHADOW} --cells 5-1", "--cells 5-1"),
    wrong("shadow method unknown", f"{SHADOW} --method finetun", "did you mean 'finetune'?"),
    wrong("shadow training unknown", f"{SHADOW} --train-set epoch=1", "did you mean 'epochs'?"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
