"""Buckets, objects, versions and the chunks they are made of.

Nouns: S3's bucket, object, version, with S3's meaning; an *upload* becomes a version by commit; a chunk row
holds a chunk's root and its packed placement (node aliases in shard order, 0 for a shard not stored).

Always true: a version is visible whole or not at all. A chunk is recorded only on signed receipts. A usage
row is written in the transaction of the version; money is made from it elsewhere. This room never calls
`payments` and never sees plain bytes.
"""
