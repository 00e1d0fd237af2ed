"""Who may do what, asked in S3's words: the judge's facts, and the operations that change its rules.

The judging itself is pure and in `tenants`.
"""
