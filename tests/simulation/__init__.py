"""The seeded simulation of a whole cluster: `make sim SEED=n` replays one history."""
