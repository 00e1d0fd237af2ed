"""Requests as they arrive, before anybody knows what they ask for: hosts, signatures, framing, forms, XML.

Always true: what cannot be read is an S3 error, never a fault of ours; nothing of a body is read before the
request is believed and allowed.
"""
