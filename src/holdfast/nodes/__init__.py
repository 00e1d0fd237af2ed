"""The fleet: which nodes there are, how they fare, and which of them hold a new chunk.

Nouns: the *roster* is the stored list of nodes; the *fleet* is its snapshot in memory; a *placement* is an
ordered choice of nodes with its reasons; an *alias* is a node's small number in packed placements.

Always true: a node is its Ed25519 key. Placement is a pure function of a snapshot, rules and chance. Rules
the fleet cannot keep are relaxed loudly. What lies on the nodes belongs to `files`; who owns them is only
an id here, and this room never calls `tenants`.
"""
