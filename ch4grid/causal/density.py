"""Is a graph sparse enough to tell causes apart? One that is nearly full tells of a common cause that was left in."""

import numpy as np

from ch4grid.causal.prior import Evidence
from ch4grid.causal.settings import Discovery
from ch4grid.findings import Check

# A graph of anomalies in which more than this share of what may exist does exist tells of a common cause left in.
MAX_DENSITY_FLUX = 0.4
MAX_DENSITY_DRIVERS = 0.7


def check_density(evidence: Evidence, config: Discovery) -> Check:
    """Whether the graph is sparse enough to tell causes apart."""
    shares = {k: float((f >= config.report_frequency).mean()) for k, f in evidence.into.items()}
    among = evidence.among.max(axis=2)
    pairs = np.maximum(among, among.T)[np.triu_indices(len(among), 1)]
    inner = float((pairs >= config.report_frequency).mean()) if pairs.size else 0.0
    fullest = max(shares, key=lambda k: shares[k])
    return Check(
        "density",
        shares[fullest] <= MAX_DENSITY_FLUX and inner <= MAX_DENSITY_DRIVERS,
        f"expected at most {MAX_DENSITY_FLUX:.0%} of the possible links into the flux and {MAX_DENSITY_DRIVERS:.0%} of"
        f" the pairs of drivers; found {shares[fullest]:.0%} ({fullest}) and {inner:.0%}",
    )
