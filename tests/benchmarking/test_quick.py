"""A quick benchmark of the twin, as anybody would run it: the network under the graph beats the mean year."""

import json
import os
import subprocess
import sys
from pathlib import Path

RECIPE = Path(__file__).parents[2] / "recipes" / "benchmark-twin.yaml"
MODELS = "climatology,extra-trees,ctgat"


def test_a_quick_benchmark_of_the_twin_ranks_ctgat_before_the_mean_year(tmp_path: Path) -> None:
    command = "from ch4grid.cli import main; main()"
    arguments = ["benchmark", str(RECIPE), "--quick", "--models", MODELS, "--json", "rows.json"]
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = json.loads((tmp_path / "rows.json").read_text(encoding="utf-8"))
    found = {row["model"]: row["asinh_nse"] for row in rows}
    assert list(found) == MODELS.split(",")
    assert found["ctgat"] > found["climatology"] > 0.5
    folder = tmp_path / "products" / "benchmarks" / "twin" / "quick"
    assert "ctgat" in (folder / "results.md").read_text(encoding="utf-8")
    assert (folder / "index.html").stat().st_size > 10_000
