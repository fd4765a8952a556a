"""Requests, ledger, status, history and verification are used without torch, which takes seconds to load."""

import subprocess
import sys
from pathlib import Path

from tests.tiny import ROOT

PROGRAM = """
import sys
from pathlib import Path
from tests.batch import scene, test_verify
from unlearn_cli.batch.settings import deletion
from unlearn_cli.batch.subcommands import history, status, verify

where = test_verify.three_versions(Path(sys.argv[1]))
assert status.format_text(status.build_overview(where))
with scene.opened(where) as (ledger, _):
    assert history.format_text(history.build_history(ledger.events(), "A"))
assert verify.verify(where).findings == []
assert deletion.json_schema()
print([name for name in ("torch", "torchvision", "duckdb", "matplotlib") if name in sys.modules])
"""


def test_everything_here_works_without_torch(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"
