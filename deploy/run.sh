#!/bin/sh
# From nothing to a catalogued product: sets up an environment if none is active, then runs the embedded recipe.
# Further arguments go to `ch4grid run`, e.g. `sh deploy/run.sh --year 2004`.
# shellcheck source=deploy/environment.sh
. "$(dirname -- "$0")/environment.sh"
ch4grid run "$root/recipes/tiny.yaml" "$@"
[ -z "${own_environment:-}" ] || echo "shell    . $root/.venv/bin/activate   (for the commands ch4grid and python)"
