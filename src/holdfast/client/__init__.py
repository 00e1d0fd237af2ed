"""The SDK: put and get objects, sealing on this side, with shards going straight to the nodes.

Nouns: a *session* is one endpoint, access key and tenant key; a *transfer* moves one object; a *source* gives
bytes, a *sink* takes them; the *journal* is what an interrupted transfer resumes from.

Always true: plain bytes and keys never leave this process; memory is bounded by the window, whatever the
object's size; every byte handed out was verified. A gateway uses this same code for clients that do not seal
for themselves. Who may do what, and where shards go, the coordinator decides.
"""
