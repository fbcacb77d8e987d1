#!/usr/bin/env bash
# Runs one `ssni` command on every host of a TPU slice, and keeps it running when a Spot slice is preempted.
#
#     export TPU=my-slice ZONE=us-central1-a ACCELERATOR=v5litepod-16
#     bash launch/tpu_pod.sh create                                              # a queued resource; waits until it is there
#     bash launch/tpu_pod.sh run evaluate CONFIG --workdir gs://BUCKET/RUN       # on every host, until it ends
#     bash launch/tpu_pod.sh keep evaluate CONFIG --workdir gs://BUCKET/RUN      # creates, runs, re-creates after preemption
#     bash launch/tpu_pod.sh delete
#
# --dry-run as the first argument prints the gcloud commands instead of running them. The committed files of this checkout
# are copied to every host. RUNTIME is guessed from ACCELERATOR; SPOT=1 asks for Spot capacity, SERVICE_ACCOUNT names one
# that may write to the bucket. Exit codes are those of `ssni`: 0 complete, 2 refused, 75 stopped or preempted.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2

REFUSED=2 AGAIN=75
DRY_RUN=
if [ "${1:-}" = --dry-run ]; then DRY_RUN=1; shift; fi
POLL_S="${POLL_S:-30}" TRIES="${TRIES:-5}" MAX_RESTARTS="${MAX_RESTARTS:-20}"

main() {
    local action="${1:-}"
    case "$action" in create | run | keep | delete) shift ;; *) refuse "say create, run, keep or delete" ;; esac
    [ -n "${TPU:-}" ] || refuse "set TPU to the name of the slice"
    [ -n "${ZONE:-}" ] || refuse "set ZONE to its zone"
    case "$action" in
        create) create ;;
        run) install && run_everywhere "$@" ;;
        keep) keep "$@" ;;
        delete) delete ;;
    esac
}

refuse() {
    echo "tpu_pod.sh: $1; \`head -n 15 launch/tpu_pod.sh\` shows how it is used." >&2
    exit "$REFUSED"
}

# Prints a command, and runs it unless this is a dry run.
run() {
    printf '+' >&2
    printf ' %q' "$@" >&2
    printf '\n' >&2
    if [ -z "$DRY_RUN" ]; then "$@"; fi
}

runtime() {
    case "$ACCELERATOR" in
        v6e-*) echo v2-alpha-tpuv6e ;;
        v5p-*) echo v2-alpha-tpuv5 ;;
        v5litepod-*) echo v2-alpha-tpuv5-lite ;;
        *) echo tpu-ubuntu2204-base ;;
    esac
}

create() {
    [ -n "${ACCELERATOR:-}" ] || refuse "set ACCELERATOR to a type such as v5litepod-16"
    local options=(--node-id "$TPU" --zone "$ZONE" --accelerator-type "$ACCELERATOR" --runtime-version "${RUNTIME:-$(runtime)}")
    if [ -n "${SPOT:-}" ]; then options+=(--spot); fi
    if [ -n "${SERVICE_ACCOUNT:-}" ]; then options+=(--service-account "$SERVICE_ACCOUNT"); fi
    run gcloud compute tpus queued-resources create "$TPU-request" "${options[@]}" || return
    if [ -n "$DRY_RUN" ]; then return; fi
    until [ "$(state)" = READY ]; do
        echo "waiting for $TPU: $(gcloud compute tpus queued-resources describe "$TPU-request" --zone "$ZONE" --format 'value(state.state)')" >&2
        sleep "$POLL_S"
    done
}

delete() {
    run gcloud compute tpus queued-resources delete "$TPU-request" --zone "$ZONE" --force --quiet
}

# READY, PREEMPTED or another state of the slice; MISSING where there is none.
state() {
    if [ -n "$DRY_RUN" ]; then echo READY; return; fi
    gcloud compute tpus tpu-vm describe "$TPU" --zone "$ZONE" --format 'value(state)' 2>/dev/null || echo MISSING
}

on_every_host() {
    run gcloud compute tpus tpu-vm ssh "$TPU" --zone "$ZONE" --worker all --command "$1"
}

# Copies the committed files to every host, and installs them there.
install() {
    local archive
    archive="$(mktemp -d)/ssni_jax.tar.gz"
    run git archive --format tar.gz --output "$archive" HEAD || return
    attempts run gcloud compute tpus tpu-vm scp "$archive" "$TPU:ssni_jax.tar.gz" --zone "$ZONE" --worker all || return
    attempts on_every_host "mkdir -p ssni_jax && tar -xzf ssni_jax.tar.gz -C ssni_jax && cd ssni_jax && bash launch/setup.sh && .venv/bin/pip install --quiet -e '.[tpu]' gcsfs"
}

# ssh to a slice that is just there fails now and then.
attempts() {
    local try
    for try in $(seq "$TRIES"); do
        if "$@"; then return 0; fi
        echo "attempt $try of $TRIES failed" >&2
        if [ "$try" -lt "$TRIES" ]; then sleep "$POLL_S"; fi
    done
    return "$AGAIN"
}

# gcloud does not pass on the exit codes of the hosts, so each prints its own.
run_everywhere() {
    local arguments log codes
    arguments=$(printf '%q ' "$@")
    log="$(mktemp)"
    on_every_host "cd ssni_jax && .venv/bin/ssni $arguments; echo ssni-exit \$?" | tee "$log"
    if [ -n "$DRY_RUN" ]; then return 0; fi
    codes=$(sed -n 's/.*ssni-exit \([0-9]*\).*/\1/p' "$log" | sort -nu)
    for code in 1 "$REFUSED"; do
        if grep -qx "$code" <<<"$codes"; then return "$code"; fi
    done
    if [ "$codes" = 0 ]; then return 0; fi
    return "$AGAIN" # stopped, or a host that never answered
}

keep() {
    local restart code
    for restart in $(seq 0 "$MAX_RESTARTS"); do
        if [ "$(state)" != READY ] || { [ "$restart" = 0 ] && [ -n "$DRY_RUN" ]; }; then
            if [ "$(state)" != MISSING ] && [ -z "$DRY_RUN" ]; then delete; fi
            create || return
        fi
        install && run_everywhere "$@"
        code=$?
        if [ "$code" -ne "$AGAIN" ]; then return "$code"; fi
        echo "$TPU was preempted or the job stopped; restart $((restart + 1)) of $MAX_RESTARTS resumes it" >&2
    done
    return "$AGAIN"
}

main "$@"
