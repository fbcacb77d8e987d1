#!/usr/bin/env bash
# Sets up if needed, then runs the tests and ends with the ten slowest, of those that take a tenth of a second or more.
# Arguments go to pytest: -m slow for the slow ones, -k NAME for some, --durations=0 for all durations.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec .venv/bin/python -m pytest --durations=10 --durations-min=0.1 "$@"
