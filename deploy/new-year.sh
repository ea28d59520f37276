#!/bin/sh
# One year from its inputs to its mirror: inventory, fetch, plan, run, verify, mirror. Made to be run every night: where inputs
# are not complete it says so and ends without harm. docs/howto/scheduled-update.md has its exit codes.
set -eu

usage() {
    cat <<'END'
usage: new-year.sh RECIPE [--year Y] [--data DIR] [--output DIR] [--cluster SPEC] [--device NAME]
                          [--no-fetch] [--mirror URL [--with-catalog]] [--strict]

RECIPE          the recipe, a YAML file
--year Y        the year to make; last year when left out
--data DIR      where relative paths of the recipe start; the current folder
--output DIR    where products, models and the catalog go; products
--cluster SPEC  where tasks run, as of `ch4grid run`
--device NAME   auto, cpu or cuda
--no-fetch      do not fetch: inputs come by other means
--mirror URL    afterwards copy the store there, e.g. s3://bucket/product/v1/historical.zarr
--with-catalog  and the catalog, all of whose stores must have been mirrored
--strict        end with exit code 3 instead of 0 when inputs are not complete
END
}

wrong() {
    echo "new-year.sh: $1" >&2
    usage >&2
    exit 2
}

say() { echo "new-year.sh: $*"; }

recipe="" year=$(($(date +%Y) - 1)) data=. output=products cluster=local device=auto fetch=yes mirror="" catalog=no strict=no
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage && exit 0 ;;
        --no-fetch) fetch=no ;;
        --strict) strict=yes ;;
        --with-catalog) catalog=yes ;;
        --year | --data | --output | --cluster | --device | --mirror)
            [ $# -ge 2 ] || wrong "$1 needs a value"
            case $1 in
                --year) year=$2 ;;
                --data) data=$2 ;;
                --output) output=$2 ;;
                --cluster) cluster=$2 ;;
                --device) device=$2 ;;
                --mirror) mirror=$2 ;;
            esac
            shift
            ;;
        -*) wrong "unknown option $1" ;;
        *)
            [ -z "$recipe" ] || wrong "more than one recipe: $recipe, $1"
            recipe=$1
            ;;
    esac
    shift
done
[ -n "$recipe" ] || wrong "no recipe"
case $year in *[!0-9]* | "") wrong "--year takes a number, not '$year'" ;; esac

# cron and its like do not know the environment that the project's own commands made
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
command -v ch4grid >/dev/null || PATH=$root/.venv/bin:$PATH
command -v ch4grid >/dev/null || {
    echo "new-year.sh: no ch4grid on PATH, and none in $root/.venv. Activate its environment, or make one: sh deploy/run.sh" >&2
    exit 2
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# a signal ends the script through the trap above, with its exit code
trap 'exit 130' INT TERM

# Exit code of a command, without ending the script.
code() {
    status=0
    "$@" || status=$?
}

lacking() {
    say "the inputs of $year are not complete; nothing was changed. What is lacking:"
    # the last line on standard error is the paragraph of the error
    tail -n 1 "$scratch/said" >&2
    [ "$strict" = no ] || exit 3
    exit 0
}

look() { ch4grid inventory "$recipe" --year "$year" --data "$data" --output "$output" --json >/dev/null 2>"$scratch/said"; }

say "inventory of $year"
code look
if [ "$status" -eq 3 ] && [ "$fetch" = yes ]; then
    say "fetch what $year lacks"
    # an archive that does not have a month yet is no failure: the second inventory tells
    code ch4grid fetch "$recipe" --year "$year" --data "$data" --output "$output"
    [ "$status" -ne 2 ] || exit 2
    code look
fi
case $status in
    0) ;;
    3) lacking ;;
    *) tail -n 1 "$scratch/said" >&2 && exit "$status" ;;
esac

say "plan $year"
look_ahead() {
    ch4grid plan "$recipe" --year "$year" --data "$data" --output "$output" --cluster "$cluster" \
        --save "$scratch/plan.json" 2>"$scratch/said"
}
# the inventory counts preliminary months as held; `gaps: strict` does not
code look_ahead
case $status in
    0) ;;
    3) lacking ;;
    *) tail -n 1 "$scratch/said" >&2 && exit "$status" ;;
esac
say "run the plan"
ch4grid run "$recipe" --plan "$scratch/plan.json" --data "$data" --output "$output" --cluster "$cluster" \
    --device "$device" --json >"$scratch/run.json"
store=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["store"])' "$scratch/run.json")
say "verify $store"
ch4grid verify "$store"
if [ -n "$mirror" ]; then
    say "mirror to $mirror"
    if [ "$catalog" = yes ]; then
        ch4grid mirror "$store" "$mirror" --catalog "$output/catalog"
    else
        ch4grid mirror "$store" "$mirror"
    fi
fi
say "$year is published: $store"
