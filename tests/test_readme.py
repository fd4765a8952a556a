"""The README and the guides: complete, short where they must be, and without promises that no measurement can give."""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import pages, read_blocks
from tests.tiny import ROOT
from unlearn_cli.plugins import discovery, plugin
from unlearn_cli.schema import manifest, sources
from unlearn_cli.schema.forget import Forget
from unlearn_cli.schema.transform_steps import Step

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDES = ROOT / "docs" / "guides"


def test_the_readme_is_short_and_has_the_way_in_for_every_reader() -> None:
    assert len(README.splitlines()) <= 200
    headings = re.findall(r"^## (.*)$", README, flags=re.MULTILINE)
    assert headings == [
        "Install and run the demo",
        "Your own checkpoint",
        "Which method",
        "How to know that it has forgotten",
        "In CI",
        "Every night",
        "In Python",
        "Limits",
        "Links",
    ]
    for command in ("pip install . && unlearn-cli demo", "pip install '.[test]' && pytest"):
        assert f"```sh\n{command}\n```" in README


def test_the_manifest_of_the_guide_is_valid_also_with_its_commented_keys(tmp_path: Path) -> None:
    blocks = read_blocks(GUIDES / "data.md")
    text = next(block.text for block in blocks if "version: 1" in block.text)
    (tmp_path / "plain.yaml").write_text(text, encoding="utf-8")
    manifest.read(tmp_path / "plain.yaml")
    full = re.sub(r"^  # ", "  ", text, flags=re.MULTILINE)
    (tmp_path / "full.yaml").write_text(full, encoding="utf-8")
    described = manifest.read(tmp_path / "full.yaml")
    assert described.forget is not None
    assert described.forget.model_fields_set == set(Forget.model_fields)


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("data.md", [*(set(sources.Source.model_fields) - {"rows"}), *Step.model_fields, *discovery.entries("models")]),
        ("choose-a-method.md", list(discovery.entries("methods"))),
        ("evaluate.md", list(discovery.entries("metrics"))),
        ("attacks.md", list(discovery.entries("attacks"))),
    ],
)
def test_a_guide_names_everything_there_is(page: str, names: list[str]) -> None:
    text = (GUIDES / page).read_text(encoding="utf-8")
    assert not [name for name in names if not re.search(rf"\b{name}\b", text)]


def test_the_readme_names_every_method() -> None:
    assert not [name for name in discovery.entries("methods") if f"`{name}`" not in README]


def test_no_word_promises_what_a_measurement_cannot() -> None:
    package = Path(plugin.__file__).parents[1]
    for path in [*package.rglob("*.py"), *package.rglob("*.j2"), *pages()]:
        assert not re.search(
            r"\b(guaranteed|certified|provably)\b", path.read_text(encoding="utf-8"), flags=re.IGNORECASE
        )
