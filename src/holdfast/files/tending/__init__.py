"""What passes read and change of stored things, and what is written down for them to do."""
