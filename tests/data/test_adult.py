"""UCI's Adult as it is downloaded: trained, unlearned, evaluated and attacked with the sample manifest."""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.tiny import ROOT, invoke, write_manifest

DATA = Path(os.environ.get("UNLEARN_CLI_DATA", "-")) / "adult" / "adult.data"
pytestmark = pytest.mark.skipif(not DATA.is_file(), reason="needs adult.data below UNLEARN_CLI_DATA")


def thin_out(text: str) -> str:
    """Return every fourth record, all records of rare values, and the empty line at the end."""
    header, *rows = text.splitlines()
    counts = Counter(cell for row in rows for cell in row.split(", "))
    rare = {cell for cell, count in counts.items() if count < 100 and not cell.isdecimal()}
    chosen = [row for number, row in enumerate(rows) if number % 4 == 0 or rare.intersection(row.split(", "))]
    return "\n".join([header, *chosen]) + "\n\n"


def test_adult_works_with_the_sample_manifest(tmp_path: Path) -> None:
    text = (ROOT / "sample_configs" / "adult.yaml").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 25
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "adult.data").write_text(thin_out(DATA.read_text(encoding="utf-8")), encoding="utf-8")
    manifest = write_manifest(tmp_path, text)
    original, unlearned = tmp_path / "original", tmp_path / "unlearned"
    fast = ["--set", "epochs=3", "--quiet"]
    assert invoke("train", "-m", manifest, "-o", original, *fast).exit_code == 0
    flags = ["-m", manifest, "--method", "amnesiac", "--quiet"]
    assert invoke("unlearn", original, *flags, "-o", unlearned).exit_code == 0
    more = ["-m", manifest, "--original", original, "--quiet"]
    assert invoke("evaluate", unlearned, *more, "--require", "test.accuracy >= 0.82").exit_code == 0
    assert invoke("attack", unlearned, *more).exit_code in (0, 3, 4)


def test_the_files_of_the_archive_need_no_change(tmp_path: Path) -> None:
    """In the archive, adult.data has no header; adult.test has an odd first line and labels that end in a dot."""
    header, *rows = DATA.read_text(encoding="utf-8").splitlines()[:4001]
    (tmp_path / "adult.data").write_text("\n".join(rows) + "\n\n", encoding="utf-8")
    (tmp_path / "adult.test").write_text("|1x3 Cross validator\n" + ".\n".join(rows[:900]) + ".\n\n", encoding="utf-8")
    text = (ROOT / "sample_configs" / "adult.yaml").read_text(encoding="utf-8")
    text = text.replace("label: Salary", f"label: Salary\n      header: [{header}]").replace(
        "    rows: {not_every: 5}\n", ""
    )
    keys = "one_hot: [workclass, education, marital-status, occupation, relationship, race, sex, native-country]"
    names = 'skip_lines: 1, label_names: {"<=50K.": "<=50K", ">50K.": ">50K"}, missing: ["?"]'
    lines = [line for line in text.splitlines() if not line.startswith("  test:")]
    test = f"  test: {{table: {{path: adult.test, label: Salary, header: [{header}], {keys}, {names}}}}}"
    lines.insert(lines.index("  transform:"), test)
    manifest = write_manifest(tmp_path, "\n".join(lines).replace("data/adult.data", "adult.data"))
    result = invoke("train", "-m", manifest, "-o", tmp_path / "m", "--dry-run")
    assert result.exit_code == 2 and "set input.shape to [" in result.stderr, "a part of the rows has fewer categories"
    size = result.stderr.partition("set input.shape to [")[2].partition("]")[0]
    manifest = write_manifest(
        tmp_path, "\n".join(lines).replace("data/adult.data", "adult.data").replace("[115]", f"[{size}]")
    )
    result = invoke("train", "-m", manifest, "-o", tmp_path / "m", "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert "900" in result.stdout
