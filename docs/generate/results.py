"""The pages of results: each table of `benchmarks/results`, with the date and the machine of its measurement."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
INDEX = """\
# Results

Each page is the output of one script in `benchmarks/`, with the date on which it was recorded and the machine. Times depend on the machine;
compare the ratios. `benchmarks/README.md` lists the scripts and explains how to repeat a measurement.

| result | recorded | machine |
|---|---|---|
"""


def write_pages() -> dict[str, str]:
    """Return the pages by their path, and the index."""
    runs = json.loads((RESULTS / "runs.json").read_text(encoding="utf-8"))
    names = sorted(path.name for path in RESULTS.glob("*.md"))
    pages = {f"results/{name}": _page(name, runs[name]) for name in names}
    rows = [f"| [{_title(name)}]({name}) | {runs[name]['date']} | {runs[name]['machine']} |" for name in names]
    return {"results/index.md": INDEX + "\n".join(rows), **pages}


def pictures() -> dict[str, bytes]:
    """Return the pictures of the results by their path."""
    return {f"results/{path.name}": path.read_bytes() for path in sorted(RESULTS.glob("*.png"))}


def _title(name: str) -> str:
    return (RESULTS / name).read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ").replace("|", "\\|")


def _page(name: str, run: dict[str, str]) -> str:
    title, _, text = (RESULTS / name).read_text(encoding="utf-8").partition("\n")
    picture = RESULTS / f"{Path(name).stem}.png"
    shown = f"\n\n![{title.removeprefix('# ')}]({picture.name})\n" if picture.is_file() else ""
    text = re.sub(
        r"`(\w+\.md)`", lambda match: f"[{match[1]}]({match[1]})" if (RESULTS / match[1]).is_file() else match[0], text
    )
    return f"{title}\n\nRecorded {run['date']} on: {run['machine']}.\n{text.rstrip()}{shown}\n"
