"""Settings, wiring, processes and the command line: the only room that knows everyone.

Always true: no decision about data, nodes or money is made here; it builds the rooms out of settings, starts
and stops processes, and turns people's commands into calls.
"""
