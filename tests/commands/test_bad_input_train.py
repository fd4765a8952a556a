"""Bad input to `train`; one line, exit code 2, nothing written."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.commands.bad_input_cases import (
    Case,
    M,
    P,
    R,
    case,
    late,
    steps,
    wrong,
)
from tests.commands.damaged_project import (
    REGRESSION,
    TRAIN_IMAGES,
    big_png,
    both,
    cut,
    field,
    image,
    text,
    value,
)

CASES = [
    case("resize smaller than the shape", field("input.resize", 2, "images.yaml"), "images.yaml", "input", "resize",
         command=TRAIN_IMAGES),
    case("crop larger than the image", field("data.augment", [{"random_crop": 9}], "images.yaml"), "images.yaml",
         "random_crop", command=TRAIN_IMAGES),
    case("classes of a regression", field("classes", ["a"], "regression.yaml"), "regression.yaml", "no classes",
         command=REGRESSION),
    wrong("training without data", "train --manifest zero.yaml --out out", "zero.yaml", "'data'"),
    case("retain without forget", field("forget", None), M, "'forget'",
         command="train --manifest manifest.yaml --split retain --out out"),
    case("standardise images", steps({"standardise": {}}, file=P), P, "input.mean", command=TRAIN_IMAGES),
    case("enlarge to no multiple", steps({"enlarge": 3}, file=P), P, "divisible by 3", command=TRAIN_IMAGES),
    case("enlarge by 1", steps({"enlarge": 1}, file=P), P, "transform.0.enlarge", command=TRAIN_IMAGES),
    case("no row has a label", both(text("a,y\n1,\n2,\n", "none.csv"), field("input.shape", [1], R), field(
        "data.train", {"table": {"path": "none.csv", "label": "y", "unlabelled": "drop"}}, R)), R, "data.train",
        "no records", command=REGRESSION),
    case("labels of a regression are text", field("data.train.npz.labels", "name", "regression.yaml"),
         "regression.yaml", "numbers", command=REGRESSION),
    case("label of a regression is NaN", value("age", 7, np.nan), "regression.yaml", "NaN", "row 7",
         command=REGRESSION),
    late("image empty", text("", "images/dog/0.png"), "images/dog/0.png", "is empty", command=TRAIN_IMAGES),
    late("image unreadable", text("no image", "images/dog/0.png"), "images/dog/0.png", "not an image",
         command=TRAIN_IMAGES),
    late("image truncated", cut("images/dog/0.png", 50), "images/dog/0.png", "replace", command=TRAIN_IMAGES),
    late("image is a decompression bomb", big_png(14000), "images/dog/0.png", "pixels", command=TRAIN_IMAGES),
    late("image is a smaller bomb", big_png(10000), "images/dog/0.png", "pixels", command=TRAIN_IMAGES),
    late("image of another size", lambda f: image(np.zeros((5, 4), np.uint8)).save(f / "images/dog/0.png"),
         "images/dog/0.png", "4x5", "input.resize", command=TRAIN_IMAGES),
    late("image too long for the crop", both(field("input.resize", 4, "images.yaml"), field(
        "input.shape", [1, 4, 8], "images.yaml")), "images/cat/0.png", "4x4", command=TRAIN_IMAGES),
    late("argument huge", field("model.arguments", {"hidden": [10**13]}), M, "model.arguments",
         command="train --manifest manifest.yaml --out out"),
    late("architecture for another shape", field("model", {"architecture": "allcnn", "arguments": {"width": 4}}), M,
         "input.shape", command="train --manifest manifest.yaml --out out"),
    wrong("output contains the data", TRAIN_IMAGES.replace("--out out", "--out images --overwrite"), "images",
          "would replace"),
    wrong("output is where we are", f"train --manifest ../project/{M} --out . --overwrite", "would replace"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_line_and_writes_nothing(case: Case, check_case: Callable[[Case], None]) -> None:
    check_case(case)
