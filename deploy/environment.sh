# shellcheck shell=sh
# Sourced by run.sh and test.sh: leaves an active virtual environment that holds ch4grid and its test tools.
# An environment that is already active is used as it is; otherwise .venv is made beside the project.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

find_python() {
    for candidate in python3 python3.11 python3.12 python3.13; do
        if "$candidate" -c 'import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "ch4grid needs Python 3.11, 3.12 or 3.13 with the venv module; none was found on PATH." >&2
    return 1
}

if [ -z "${VIRTUAL_ENV:-}" ]; then
    python=$(find_python)
    [ -x "$root/.venv/bin/python" ] || "$python" -m venv "$root/.venv"
    # shellcheck disable=SC1091 # made by this script
    . "$root/.venv/bin/activate"
    # shellcheck disable=SC2034 # read by those who source this
    own_environment=yes
fi

# Installs once per state of pyproject.toml and constraints.txt.
stamp="$VIRTUAL_ENV/ch4grid-$(cat "$root/pyproject.toml" "$root/deploy/constraints.txt" | cksum | tr ' ' '-').installed"
if [ ! -f "$stamp" ]; then
    echo "Installing ch4grid into $VIRTUAL_ENV: 3 GB, silent for a few minutes the first time"
    # torch first and pinned: a later, unpinned resolution could pull the CUDA build
    python -m pip install --quiet --disable-pip-version-check --constraint "$root/deploy/constraints.txt" torch
    python -m pip install --quiet --disable-pip-version-check --constraint "$root/deploy/constraints.txt" \
        --editable "${root}[test]"
    touch "$stamp"
fi
