#!/bin/sh
# Runs the test suite, setting up an environment if none is active. Further arguments go to pytest.
# Files of tests are dealt to processes of one thread each, as workers of a run are.
# shellcheck source=deploy/environment.sh
. "$(dirname -- "$0")/environment.sh"
cd "$root"
export OMP_NUM_THREADS=1
exec python -m pytest --numprocesses logical --maxprocesses 4 --dist loadfile "$@"
