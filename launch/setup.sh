# shellcheck shell=bash
# Sourced by the other scripts: a virtual environment in .venv with the package and its test extra, made once.
# PYTHON chooses the interpreter. A changed setup.cfg or requirements.txt installs again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

supports() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if [ ! -x .venv/bin/python ]; then
    for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11 python; do
        if supports "$python"; then break; fi
    done
    if ! supports "$python"; then
        echo "No Python of version 3.11 or later was found: install one, or name it with PYTHON=/path/to/python." >&2
        exit 2
    fi
    echo "Making .venv with $("$python" --version) ..."
    "$python" -m venv .venv
fi

wanted="$(cat setup.cfg requirements.txt pyproject.toml | .venv/bin/python -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')"
if [ "$(cat .venv/installed 2>/dev/null || true)" != "$wanted" ]; then
    echo "Installing (about a minute and 1 GB) ..."
    .venv/bin/python -m pip install -qq --disable-pip-version-check -r requirements.txt
    echo "$wanted" > .venv/installed
fi
