"""The world outside the program, each part of it handed in: clock, chance, disk, network, database, threads.

Nouns: a *clock* tells the time, *chance* hands out random bytes, a *disk* holds append-only files, a
*network* carries byte streams, a *database* runs transactions, an *offload* runs heavy work off the event
loop. Each has a real implementation here and a seeded one under `simulated`; both pass the same contract
suite, and nothing above this room may reach the operating system for any of these in another way.

Always true: nothing here knows an object, a shard or a tenant. The families of errors are here too, because
every room needs them. What a party *says* belongs to `protocol`; what a room *stores* belongs to its `store`.
"""
