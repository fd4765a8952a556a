"""Bad input to `noise`; one line, exit code 2, nothing written."""

from collections.abc import Callable

import pytest

from tests.commands.bad_input_cases import (
    C,
    Case,
    M,
    case,
    wrong,
)
from tests.commands.damaged_project import (
    field,
    folder_of,
    text,
)

CASES = [
    case("no data and no classes", field("classes", None, "zero.yaml"), "zero.yaml", "list 'classes'",
         command="noise model.safetensors --manifest zero.yaml --out noise.safetensors"),
    wrong("setting of the noise", f"noise {C} --manifest {M} --out n.safetensors --set size=0", "--set", "size"),
    wrong("noise for an unknown class", f"noise {C} --manifest {M} --class dgo --out n.safetensors", "'dog'"),
    wrong("noise as a picture", f"noise {C} --manifest {M} --out n.png", "--out n.png", ".safetensors"),
    wrong("noise for a regression", f"noise {C} --manifest regression.yaml --out n.safetensors", "regression.yaml"),
    case("noise would replace a picture", text("", "n.png"), "n.png", "--overwrite",
         command=f"noise {C} --manifest {M} --out n.safetensors"),
    wrong("output file replaces a folder", f"noise {C} --manifest {M} --out {C} --overwrite", C),
    case("output is a folder", folder_of("n.safetensors"), "n.safetensors", "is not a file",
         command=f"noise {C} --manifest {M} --out n.safetensors --overwrite"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
