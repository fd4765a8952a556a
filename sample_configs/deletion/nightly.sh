#!/bin/sh
# Runs the batch of the deletion.yaml next to this script, for cron, a systemd timer or a CI step. It prints only what
# needs a person's attention, and ends with the first exit code that is not 0 (75: run it again, it continues).
cd "$(dirname "$0")" || exit 2
code=0

batch() {
    output=$(unlearn-cli batch "$@" 2>&1)
    status=$?
    [ "$status" -eq 0 ] && return
    printf 'unlearn-cli batch %s: exit code %s\n%s\n' "$*" "$status" "$output"
    [ "$code" -eq 0 ] && code=$status
}

batch run deletion.yaml                               # carry out what is pending
batch vacuum deletion.yaml                            # remove what retention does not keep
batch verify deletion.yaml                            # ledger, checkpoints, reports, lineage
batch status deletion.yaml --fail-if-due-within 7d    # the alarm: what is due or set aside, also if no run succeeded
exit "$code"
