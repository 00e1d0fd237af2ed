"""Passes: the background loops that keep the stored state as it should be.

Nouns: a *pass* reads a page, plans (a pure function with reasons) and does; a *plan* can be printed without
being carried out.

Always true: a pass may be stopped at any await and started again; what it does is a compare-and-swap on the
revision it planned from, so that a racing write or delete wins.
"""
