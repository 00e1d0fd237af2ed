"""What a pass decided and why: pure functions of what it read."""
