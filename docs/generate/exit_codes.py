"""The reference of exit codes."""

from unlearn_cli import errors

PAGE = """\
# Exit codes

| code | meaning | what to do |
|---|---|---|
| 0 | finished; every gate passed or none was set, or there was nothing to do | - |
| 1 | a bug: the traceback is on standard error | report it |
| {UserError} | wrong usage or bad input; nothing was written | fix the input; the message names it |
| 3 | a gate failed, or a request is due within the time of `batch status --fail-if-due-within`; the files are written and marked, nothing is promoted | a person decides |
| 4 | a verdict could not be decided | more records or references; `--inconclusive pass` accepts it |
| 5 | deletion requests were set aside, in a run or as reported by `batch status` | a person corrects or closes them |
| {IntegrityError} | a digest, the ledger's chain, a lineage or a signature does not match | investigate immediately |
| {ResourceError} | out of memory, disk full, no such device, or a remote or tracker that cannot be reached (with `--log-to`, the result is written) | free the resource, or run later or elsewhere |
| {Interrupted} | temporary: stopped by a signal after saving its state, or another process holds the lock | run the same command again; it continues |
| 130 | Ctrl-C before anything was saved | - |

`--nproc` passes these codes on. `torchrun` turns every code of a process into 1.

If several codes apply to one batch run, it ends with the first one that needs a person. A scheduler should retry only 75.
"""


def write_page() -> str:
    kinds = ("UserError", "IntegrityError", "ResourceError", "Interrupted")
    return PAGE.format(**{name: getattr(errors, name).exit_code for name in kinds})
