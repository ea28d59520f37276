#!/bin/sh
# Writes the reference of the Python functions, from their docstrings, to a folder: `sh deploy/docs.sh [FOLDER]`.
# shellcheck source=deploy/environment.sh
. "$(dirname -- "$0")/environment.sh"
folder=${1:-"$root/site"}
cd "$root"
exec python deploy/reference.py "$folder"
