"""The program on a device that stores shards.

Nouns: the *vault* keeps shards in append-only volumes; *answer* serves node requests under grants; the
*heart* registers and sends heartbeats; the *home* is the folder with the node's key, settings and vault.

Always true: an acknowledged shard is on disk. Nothing is stored beyond the allocation or into the reserve of
free disk space. A grant is checked offline, against issuer keys learned from the coordinator. The agent
holds no key that opens data, and never decides where shards go.
"""
