"""HTTP: control operations for clients, fleet operations for nodes, health.

Always true: a request is signed (SigV4) or answered 401; bodies have a size limit; every answer carries a
request id. S3's own protocol is another door.
"""
