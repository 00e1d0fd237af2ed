"""Holdfast turns disks and machines that many different people own into one cloud."""
