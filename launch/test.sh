#!/usr/bin/env bash
# Sets up if needed, then runs the tests. Arguments go to pytest: -m slow for the slow ones, -k NAME for some.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
exec .venv/bin/python -m pytest "$@"
