"""The world from a seed: an event loop with simulated time, and a network, disks and chance that replay.

Always true: one seed, one history. Faults are part of the world and stack: delays, drops, partitions, torn
writes, full disks, flipped bits, crashes that lose what was not synced. Stricter than the real thing.
"""
