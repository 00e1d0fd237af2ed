"""Operations on what an owner sets for buckets and objects: documents in, documents out as they came.

A document is checked as strictly as S3 does before anything of it is kept; carrying it out is for `upkeep`.
"""
