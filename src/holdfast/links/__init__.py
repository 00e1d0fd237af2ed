"""Node protocol sessions over the world's byte streams.

Nouns: a *peer* is one live, mutually proven connection: the node proved its key, the client proved its
session key. Requests are pipelined on it, bodies are received straight into the caller's memory. A *tunnel*
carries the same bytes through a gateway's relay, which cannot read or change the session inside.

Always true: agents and clients share this room and nothing else; a peer whose proof fails is never handed
out. What is asked and answered belongs to `protocol`, to whom and why to `client` and `agent`.
"""
