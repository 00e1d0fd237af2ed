"""S3's own protocol: what unmodified S3 programs speak.

Nouns: an *operation* is one of the public S3 service model; a *sub-resource* is the query key that selects
it.

Always true: bytes in, a call to a room, bytes out; every answer, errors included, is S3's. A request is
believed (its signature) and allowed (key, policy, ACL) before its body is read. What S3 has and we leave
out is refused with 501 before anything else is looked at. This door knows no other door.
"""
