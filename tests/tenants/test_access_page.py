"""What docs/guide/access.md tells is what the judge knows."""

from __future__ import annotations

import re
from pathlib import Path

from holdfast.tenants import acls
from holdfast.tenants.permits import ACTIONS
from holdfast.tenants.policy_conditions import read_conditions
from holdfast.tenants.s3_actions import HOUSE_ACTION

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "access.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under this line."""
    table = PAGE.partition(f"\n{heading}\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[1:]]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


def test_the_page_tells_what_each_permission_covers() -> None:
    told = {
        next(iter(names(cells[0]))): cells[1:]
        for cells in rows("| permission | on a bucket | on an object |")
    }
    del told["FULL_CONTROL"]
    for column, table in enumerate((acls.ON_BUCKET, acls.ON_OBJECT)):
        covered = {
            permission: {action for action, needed in table.items() if needed == permission}
            for permission in told
        }
        assert {
            name: {f"s3:{each}" for each in names(cells[column])} for name, cells in told.items()
        } == covered


def test_the_page_tells_of_every_action_that_s3_requests_can_be() -> None:
    told = {next(iter(names(cells[0]))): names(cells[1]) for cells in rows("| action | at the S3 door |")}
    assert set(told) == set(HOUSE_ACTION.values())
    assert set(told) <= set(ACTIONS)
    for ours, examples in told.items():
        for example in examples:
            head = f"s3:{example}"
            meant = [
                action for action in HOUSE_ACTION if action == head or action.startswith(head.rstrip("."))
            ]
            assert any(HOUSE_ACTION[action] == ours for action in meant), example


def test_every_condition_key_of_the_page_may_stand_in_a_policy() -> None:
    keys = [key for cells in rows("| about | condition keys |") for key in sorted(names(cells[1]))]
    assert len(keys) > 30
    for key in keys:
        assert read_conditions({"StringEquals": {key: "x"}}, variables=True)
