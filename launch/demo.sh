#!/usr/bin/env bash
# Sets up if needed, then attacks and purifies real images: a table here, pictures in demo/report.html.
# Arguments go to `ssni demo`. On a CPU the images are divided over two devices: networks this small use one core each.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
export JAX_NUM_CPU_DEVICES="${JAX_NUM_CPU_DEVICES:-$(.venv/bin/python -c 'import os; print(min(os.cpu_count() or 1, 2))')}"
exec .venv/bin/ssni demo "$@"
