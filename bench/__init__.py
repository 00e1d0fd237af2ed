"""What Holdfast costs, beside the limit of each thing, measured in one run. Never part of the tests."""
