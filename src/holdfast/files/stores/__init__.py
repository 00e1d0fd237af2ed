"""The tables of this room and all of its SQL; nobody outside the room imports from here."""
