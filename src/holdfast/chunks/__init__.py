"""Bytes into shards and back.

Nouns: a *chunk* is a piece of an object's stream; it is *sealed* (compressed where that pays, encrypted in
records, padded and erasure-coded) into n *shards*, and *opened* again from any k of them. A *leaf* is a piece
of a shard with its own hash; the *shard root* stands over the leaves, the *chunk root* over the shard roots.

Always true: pure functions of bytes. Keys, salts and chunk ids are handed in. The same input gives the same
bytes with every codec back end. Formats are written down in docs/formats and frozen by test vectors. Where
shards go and how they travel belongs elsewhere.
"""
