"""Languages spoken outward: each door decodes, calls a room and encodes.

Always true: no decision is made here; doors don't know one another; each turns the whole catalogue of
failures into its own language in one table.
"""
