"""Who uses Holdfast and what they may do.

Nouns: a *tenant* pays and owns buckets; an *access key* signs requests; a *client key id* names a key that
only the tenant holds; a *managed key* is a tenant key held by us, wrapped by the master key, for gateways.

Always true: secrets are stored wrapped, never logged; a request is answered for exactly one tenant. What a
tenant stores belongs to `files`; its nodes belong to `nodes`.
"""
