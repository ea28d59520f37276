#!/bin/sh
# Runs the test suite, setting up an environment if none is active. Further arguments go to pytest.
. "$(dirname -- "$0")/environment.sh"
cd "$root"
exec python -m pytest "$@"
