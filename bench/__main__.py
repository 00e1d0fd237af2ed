"""`make bench`: runs the benchmarks, prints tables, writes JSON, compares with the stored baseline.

    python -m bench                     all of them
    python -m bench seal vault          some
    python -m bench --keep              make this run the baseline

Every figure stands beside its limit or its peer from the same run, so that a slower machine shows as such. A
change against the baseline is a hint where to look, never a verdict: timings decide no test.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any, Final

FOLDER = Path(__file__).parent
BASELINE = FOLDER / "baseline.json"
LATEST = FOLDER / "results" / "latest.json"

BENCHMARKS: Final = (
    "seal", "vault", "links", "placement", "metadata", "listing", "gateway", "s3", "end_to_end",
    "memory",
)  # fmt: skip
NOTEWORTHY: Final = 0.2
"""Changes smaller than this share are noise on a shared machine."""


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=...", description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--keep", action="store_true", help="make this run the baseline")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    before = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    results: dict[str, Any] = {"machine": machine()}
    for name in chosen.names or BENCHMARKS:
        print(f"\n== {name} ==", flush=True)
        results[name] = importlib.import_module(f"bench.{name}").measure()
        for line in compare(before.get(name, {}), results[name]):
            print(f"  against the baseline: {line}")
    LATEST.parent.mkdir(exist_ok=True)
    LATEST.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nWritten to {LATEST.relative_to(FOLDER.parent)}")
    if chosen.keep:
        BASELINE.write_text(json.dumps({**before, **results}, indent=2) + "\n")
        print(f"Kept as the baseline in {BASELINE.relative_to(FOLDER.parent)}")


def machine() -> dict[str, Any]:
    """What this ran on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(pages / 1e9),
        "system": platform.platform(terse=True),
        "python": sys.version.split()[0],
    }


def flat(results: Any, path: str = "") -> dict[str, float]:
    """Every number in nested results, under its path."""
    if isinstance(results, bool) or results is None or isinstance(results, str):
        return {}
    if isinstance(results, int | float):
        return {path: float(results)}
    items = results.items() if isinstance(results, dict) else enumerate(results)
    found: dict[str, float] = {}
    for name, value in items:
        found |= flat(value, f"{path}.{name}" if path else str(name))
    return found


def compare(before: Any, now: Any) -> list[str]:
    """Figures that moved noticeably, the farthest first."""
    old, new = flat(before), flat(now)
    moved = [
        (abs(new[path] / old[path] - 1), path)
        for path in new
        if old.get(path) and abs(new[path] / old[path] - 1) > NOTEWORTHY
    ]
    return [f"{path} {old[path]:.4g} -> {new[path]:.4g}" for _, path in sorted(moved, reverse=True)[:10]]


if __name__ == "__main__":
    main()
