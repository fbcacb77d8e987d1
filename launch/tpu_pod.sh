#!/usr/bin/env bash
# Runs one `ssni` command on every host of a TPU pod slice, where the checkout and a workdir on shared storage exist:
#
#     TPU=my-slice ZONE=us-central2-b bash launch/tpu_pod.sh evaluate CONFIG --workdir DIR
#
# The checkout is taken to be in ~/ssni_jax on each host; CHECKOUT names another place.
set -euo pipefail
: "${TPU:?set TPU to the name of the slice}" "${ZONE:?set ZONE to its zone}"
arguments=$(printf '%q ' "$@")
remote="cd ${CHECKOUT:-ssni_jax} && bash launch/setup.sh && .venv/bin/pip install --quiet -e '.[tpu]' && .venv/bin/ssni $arguments"
gcloud compute tpus tpu-vm ssh "$TPU" --zone "$ZONE" --worker all --command "$remote"
