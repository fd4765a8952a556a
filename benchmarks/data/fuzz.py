"""Mutated files over all readers: how many are read, how many refused, and whether anything else happens.

python -m benchmarks.data.fuzz --count 10000      writes results/fuzz.md

Each reader runs in a process of its own with 4 GiB of address space beyond what its imports take; a case may take 20 s.
"Other" is any exception that is not a user error, a warning, a hang, or a file left behind.
"""

import argparse
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from benchmarks.output import write_result
from tests.fuzzing.readers import READERS, cases, outcome

SECONDS, BYTES = 20, 4 * 2**30


class Hang(Exception):
    pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="cases of all readers together")
    parser.add_argument("--reader", help="one reader, whose row is printed")
    arguments = parser.parse_args()
    share = -(-arguments.count // len(READERS))
    if arguments.reader:
        print(row(arguments.reader, share))
        return
    rows = [_in_a_process(name, arguments.count) for name in READERS]
    text = Path(__file__).with_name("fuzz_table.md").read_text(encoding="utf-8")
    write_result("fuzz.md", text + "\n".join([*rows, total(rows)]) + "\n")


def _in_a_process(name: str, count: int) -> str:
    command = [sys.executable, "-m", "benchmarks.data.fuzz", "--reader", name, "--count", str(count)]
    found = subprocess.run(command, capture_output=True, text=True)
    line = found.stdout.strip() or f"| {name} | 0 | 0 | 0 | 0 | process ended with {found.returncode} |"
    print(line, file=sys.stderr, flush=True)
    return line


def row(name: str, count: int) -> str:
    """Run the cases of a reader and return its line of the table."""
    limit_memory()
    warnings.simplefilter("error")
    signal.signal(signal.SIGALRM, _hang)
    counts: Counter[str] = Counter()
    for file, content in cases(READERS[name], count, seed=17):
        counts[_one(name, file, content)] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    others = {kind: number for kind, number in counts.items() if kind not in ("0", "2", "6")}
    listed = ", ".join(f"{kind}: {number}" for kind, number in sorted(others.items())) or "0"
    return f"| {name} | {counts.total()} | {counts['0']} | {counts['2']} | {counts['6']} | {listed} | {peak} |"


def _one(name: str, file: str, content: bytes) -> str:
    with tempfile.TemporaryDirectory() as folder:
        signal.alarm(SECONDS)
        try:
            code = outcome(READERS[name], Path(folder), file, content).code
        except Exception as error:  # the kind is what is counted
            return type(error).__name__
        finally:
            signal.alarm(0)
        expected = {*READERS[name].seeds(), *READERS[name].others(), file}
        left = {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()} - expected
    return "file left" if left else str(code)


def limit_memory() -> None:
    """Allow BYTES in addition to what is already mapped: torch maps several GiB that it never uses."""
    import torch  # noqa: F401

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _hang(*_: object) -> None:
    raise Hang


def total(rows: list[str]) -> str:
    cells = [[cell.strip() for cell in line.strip("| ").split("|")] for line in rows]
    sums = [sum(int(line[column]) for line in cells) for column in (1, 2, 3, 4)]
    return f"| all | {' | '.join(map(str, sums))} | {sum(line[5] != '0' for line in cells)} readers | |"


if __name__ == "__main__":
    main()
