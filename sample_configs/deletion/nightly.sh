#!/bin/sh
# A night's work on the deletion.yaml next to this script, for cron, a systemd timer or a CI step. It prints only what
# a person must look at, and ends with the first exit code that is not 0 (75: run it again, it continues).
cd "$(dirname "$0")" || exit 2
code=0

batch() {
    told=$(unlearn-cli batch deletion.yaml "$@" 2>&1)
    found=$?
    [ "$found" -eq 0 ] && return
    printf 'unlearn-cli batch deletion.yaml%s: exit code %s\n%s\n' "${*:+ $*}" "$found" "$told"
    [ "$code" -eq 0 ] && code=$found
}

batch                                    # carry out what is pending
batch --vacuum                           # remove what retention does not keep
batch --verify                           # ledger, checkpoints, reports, lineage
batch --status --fail-if-due-within 7d   # the alarm: what is due or set aside, also if no run succeeded
exit "$code"
