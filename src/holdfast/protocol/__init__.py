"""What coordinator, gateway, node and client say to each other, and how they prove it.

Nouns: a *frame* is the unit on a node connection, a *session* turns bytes into requests and back without
any I/O, a *grant* is a short-lived signed permission for one action on one shard, a *receipt* is a node's
signature that it did it. Control operations (client to coordinator) and fleet operations (node to
coordinator) are typed structs carried as MessagePack or JSON.

Always true: pure. No clock, no chance, no socket: times, nonces and keys are handed in. Every format starts
with a version, and an unknown newer one is refused by name. How bytes travel belongs to `links`.
"""
