"""`make sim SEED=n`: tells one story and prints how it ended; the digest of the final state comes last."""

import argparse
import logging

import structlog
from tests.simulation.story import tell

from holdfast.world.simulated.world import simulate


def main() -> None:
    parser = argparse.ArgumentParser(prog="make sim")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="tell so many stories, from SEED on")
    parser.add_argument("--log", action="store_true", help="show what everybody logs")
    chosen = parser.parse_args()
    if not chosen.log:
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    for seed in range(chosen.seed, chosen.seed + chosen.seeds):
        outcome = simulate(tell, seed)
        print(
            f"seed {seed}: {outcome.stored} stored, {outcome.removed} removed, {outcome.in_doubt} in doubt, "
        )
        print(f"  {outcome.failed_reads} reads failed while nodes were away; faults {outcome.faults}")
        print(outcome.digest)


main()
