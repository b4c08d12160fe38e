"""What Cal.com knows while the groups of one environment are measured: one company that is always open."""

from script.lib.environment import calcom_data

COLD = ("cold-1", "cold-2", "cold-3")
TRIO = ("trio-1", "trio-2", "trio-3")
"""Event types that share a host."""
_ALONE = (*COLD, "first", "search", "single", "waits", "own", "alone", "ratio", "held", "told")
DATASET = calcom_data(
    {
        "bench": {
            **{slug: (f"host-of-{slug}",) for slug in _ALONE},
            **dict.fromkeys(TRIO, ("host-of-trio",)),
            "two-hosts": ("first-of-two", "second-of-two"),
        }
    }
)
"""Event types are named by what is measured on them; no host serves two of these."""
