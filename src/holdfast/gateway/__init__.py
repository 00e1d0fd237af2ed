"""Sealing and opening for those who cannot do it themselves: S3 programs, passes that move objects.

Nouns: a *body* is a stream of plain bytes with what its sender claims of it; a *digest* is taken while it
passes; a *small object* (up to 64 KiB) is sealed by itself and kept in the metadata store until it shares a
*pack*, one coded stream, with many others.

Always true: plain bytes exist in this process's memory only while a request is served. Data keys are
wrapped by the bucket owner's managed key, or by the customer's own (SSE-C), which is never stored. A body
is stored whole and as claimed, or nothing of it is. Who may do what is decided above; what a version is, in
`files`.
"""
