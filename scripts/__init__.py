"""Scripts that write parts of the repository from its code."""
