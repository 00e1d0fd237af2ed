"""Operations on buckets and objects: store, read, list, copy, delete, in one piece or in parts.

Handlers turn headers into attributes and conditions, call `gateway` and `files`, and show what became of it.
"""
