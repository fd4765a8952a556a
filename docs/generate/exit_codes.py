"""The reference of exit codes."""

from unlearn_cli import errors

PAGE = """\
# Exit codes

| code | meaning | what to do |
|---|---|---|
| 0 | finished; every gate passed or none was set, or there was nothing to do | - |
| 1 | a bug: the traceback is on standard error | report it |
| {UserError} | wrong usage or bad input; nothing was written | fix what the message names |
| 3 | a gate failed, or a deadline that `batch status --fail-if-due-within` asks about is near; the files are written and marked, nothing is promoted | a person decides |
| 4 | a verdict could not be decided | more records or references; `--inconclusive pass` accepts it |
| 5 | deletion requests were set aside, in a run or as reported by `batch status` | a person looks at them |
| {IntegrityError} | a digest, the ledger's chain, a lineage or a signature does not match | a person looks at it now |
| {ResourceError} | out of memory, disk full, no such device | free the resource or run elsewhere |
| {Interrupted} | temporary: stopped by a signal after saving its state, or another process holds the lock | run the same command again; it continues |
| 130 | Ctrl-C before anything was saved | - |

`--nproc` passes these codes on. `torchrun` turns every code of a process into 1.

Of several codes in one batch run, the first that needs a person wins. A scheduler should retry only 75.
"""


def write_page() -> str:
    kinds = ("UserError", "IntegrityError", "ResourceError", "Interrupted")
    return PAGE.format(**{name: getattr(errors, name).exit_code for name in kinds})
