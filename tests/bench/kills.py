"""Kill the real command at random moments, whole or one worker, and count how often a rerun ends with the same bytes.

    PYTHONPATH=.:tests python tests/bench/kills.py [--kills 100] [--new] [--json]

A small product on two worker processes; its second year, or with `--new` training and the first one. Kills are spread
over the whole length of the run, every other one takes a single worker. A reader opens the store every 20 ms meanwhile
and must see whole years only. Exits with 1 where a byte of store, ledger, catalog or model differs.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

from killed_run import FIRST, SECOND, kills


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--new", action="store_true", help="the first year, with training")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    begun = time.monotonic()
    # a store that appears between xarray's two ways of opening is opened the second way, with a warning
    warnings.filterwarnings("ignore", message="Failed to open Zarr store")
    with tempfile.TemporaryDirectory() as folder:
        told, differing = kills(
            Path(folder),
            FIRST if given.new else SECOND,
            given.kills,
            seed=given.seed,
            tell=lambda text: print(text, file=sys.stderr, flush=True),
        )
    found = {
        "kills": given.kills,
        "same": given.kills - len(differing),
        "of them": dict(sorted(told.items())),
        "differing": differing,
        "seconds": round(time.monotonic() - begun, 1),
    }
    if given.json:
        sys.stdout.write(json.dumps(found) + "\n")
    else:
        sys.stdout.write("".join(f"{name:10} {value}\n" for name, value in found.items()))
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
