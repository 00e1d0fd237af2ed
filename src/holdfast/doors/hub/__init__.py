"""The relay: carries sessions between clients and nodes that cannot reach each other.

Always true: the relay moves bytes between a client and the one node its grant names; the session inside is
proven end to end, so it can neither read nor change what passes.
"""
