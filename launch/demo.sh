#!/usr/bin/env bash
# Sets up if needed, then attacks and purifies real images: a table here, pictures in demo/report.html.
# Arguments go to `ssni demo`.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec .venv/bin/ssni demo "$@"
