"""Every code block of the README and the documentation is run, or says why not and is parsed."""

import json
import subprocess
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs import schemas
from tests.docs.blocks import LANGUAGES, Block, pages, parts_of_project, read_blocks
from tests.docs.project import Shell, copy_project, make_project
from tests.shared import make_once
from tests.tiny import ROOT

PAGES = {page.relative_to(ROOT).as_posix(): page for page in pages() if read_blocks(page)}


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    shell = Shell(tmp_path_factory.mktemp("sh"))
    yield shell
    shell.stop()


@pytest.fixture(scope="module")
def project(shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_once(tmp_path_factory, "docs-project", partial(make_project, run=shell))


def is_executed(block: Block) -> bool:
    return block.is_run and (block.language in ("sh", "python") or "file" in block.directives)


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if any(map(is_executed, read_blocks(page)))])
def test_the_blocks_of_a_page_run_from_top_to_bottom(name: str, shell: Shell, project: Path, tmp_path: Path) -> None:
    page = PAGES[name]
    folder = copy_project(project, tmp_path / "project", parts_of_project(page))
    python = ""
    for block in filter(is_executed, read_blocks(page)):
        if "file" in block.directives:
            path = folder / block.directives["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            code, output = shell(block.text, folder)
            assert code in block.exit_codes, f"{block.place}: exit code {code}\n{output}"
        else:
            python += "\n" * (block.line - python.count("\n")) + block.text  # lines of errors are those of the page
    if python:
        code, output = shell.python(name, python, folder)
        assert code == 0, f"{name}\n{output}"


@pytest.mark.parametrize("name", PAGES)
def test_blocks_are_well_formed(name: str) -> None:
    for block in read_blocks(PAGES[name]):
        assert block.language in LANGUAGES, f"{block.place}: no language, or one that is not tested"
        check_syntax(block)


def check_syntax(block: Block) -> None:
    match block.language:
        case "sh":
            done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{block.place}: {done.stderr}"
        case "python":
            compile(block.text, block.place, "exec")
        case "json":
            json.loads(block.text)
        case "toml":
            tomllib.loads(block.text)
        case "yaml":
            content: Any = yaml.safe_load(block.text)
            schemas.check(block, content)
        case _:
            pass
