"""The doctor's judgement as a table: facts on the left, what it must say on the right."""

import msgspec
import pytest

from holdfast.agent.doctor import BAD, GOOD, WARNING, Facts, diagnose, worst
from holdfast.agent.home import Settings, Status

NOW = 1_800_000_000_000_000
SECOND = 1_000_000
GB = 10**9

SETTINGS = Settings(
    endpoint="https://coordinator.example",
    node_name="attic",
    allocated=100 * GB,
    advertised=["tls://home.example:7420"],
)
STATUS = Status(
    state="running",
    time=NOW - 5 * SECOND,
    started=NOW - 1000 * SECOND,
    addresses=["tls://home.example:7420"],
    allocated=100 * GB,
    used=40 * GB,
    free=60 * GB,
    shard_count=80_000,
    welcomed=NOW - 5 * SECOND,
)
WELL = Facts(
    now=NOW,
    settings=SETTINGS,
    folder_mode=0o700,
    key_mode=0o600,
    pid=7,
    status=STATUS,
    round_trip=0.012,
    clock_offset=0.4,
    reached={"tls://home.example:7420": ""},
    disk_free=500 * GB,
    sync_seconds=0.002,
    files_max=4096,
)


def but(**changes):
    return msgspec.structs.replace(WELL, **changes)


def settings(**changes):
    return msgspec.structs.replace(SETTINGS, **changes)


def status(**changes):
    return msgspec.structs.replace(STATUS, **changes)


def test_a_node_in_good_health_has_only_good_findings():
    findings = diagnose(WELL)
    assert {finding.level for finding in findings} == {GOOD}
    assert [finding.check for finding in findings] == [
        "key",
        "registration",
        "endpoint",
        "clock",
        "heartbeat",
        "address",
        "space",
        "disk speed",
        "vault",
    ]


AILMENTS = [
    (but(made=False), "home", BAD, "node init"),
    (but(settings=None, key_failure="settings.json is torn."), "home", BAD, "torn"),
    (but(key_failure="node.key holds no key."), "key", BAD, "Restore"),
    (but(key_mode=0o644), "key", BAD, "chmod 600"),
    (but(folder_mode=0o755), "key", BAD, "chmod 700"),
    (but(registered=False), "registration", BAD, "again"),
    (but(endpoint_failure="No route."), "endpoint", BAD, "No route."),
    (but(settings=settings(endpoint="http://10.0.0.1:9000")), "endpoint", WARNING, "https://"),
    (but(clock_offset=-30.0), "clock", WARNING, "30 s ahead of"),
    (but(clock_offset=90.0), "clock", BAD, "90 s behind"),
    (but(clock_offset=None, status=status(clock_offset=-90 * SECOND)), "clock", BAD, "ahead"),
    (but(clock_offset=None, status=None), "clock", WARNING, "not known"),
    (but(pid=None), "heartbeat", BAD, "did not stop in an orderly way"),
    (but(pid=None, status=status(state="stopped")), "heartbeat", WARNING, "node run"),
    (but(status=status(welcomed=0, failure="Name not found.")), "heartbeat", WARNING, "Name not found."),
    (but(status=status(welcomed=NOW - 600 * SECOND)), "heartbeat", BAD, "600 s ago"),
    (but(status=status(notices=["Upgrade, please."])), "notice", WARNING, "Upgrade, please."),
    (but(settings=settings(advertised=["ftp://x"])), "address", BAD, "is not an address"),
    (but(settings=settings(advertised=["tcp://10.0.0.9:1"])), "address", BAD, "unprotected"),
    (but(settings=settings(advertised=["tcp://127.0.0.1:1"])), "address", BAD, "this machine only"),
    (but(reached={"tls://home.example:7420": "Refused."}), "address", WARNING, "Refused."),
    (but(disk_failure="Input/output error."), "disk", BAD, "Input/output"),
    (but(settings=settings(allocated=0)), "space", WARNING, "node allocate"),
    (but(disk_free=11 * GB), "space", WARNING, "Free 50 GB"),
    (but(sync_seconds=0.2), "disk speed", WARNING, "200.0 ms"),
    (but(sync_seconds=2.0), "disk speed", BAD, "2000.0 ms"),
    (but(status=status(lost_count=3)), "vault", WARNING, "smartctl"),
    (but(files_max=256), "open files", WARNING, "LimitNOFILE"),
]


@pytest.mark.parametrize(("facts", "check", "level", "said"), AILMENTS)
def test_an_ailment_is_found_graded_and_answered_with_advice(facts, check, level, said):
    ill = [finding for finding in diagnose(facts) if finding.level != GOOD]
    assert (check, level) in [(finding.check, finding.level) for finding in ill]
    assert any(said in f"{finding.message} {finding.advice}" for finding in ill if finding.check == check)
    assert all(finding.advice for finding in ill if finding.check != "notice")


def test_each_ailment_is_found_alone():
    for facts, check, _, _ in AILMENTS:
        if facts.status is None:
            continue  # A node without a status is ill in its heartbeat too.
        ill = {finding.check for finding in diagnose(facts) if finding.level != GOOD}
        assert ill == {check}, f"{check} also brought {ill}"


def test_a_loopback_address_is_right_where_the_coordinator_is_on_this_machine():
    local = settings(endpoint="http://127.0.0.1:9000", advertised=["tcp://127.0.0.1:7420"])
    assert worst(diagnose(but(settings=local, reached={}))) == GOOD


def test_the_worst_finding_decides():
    assert worst(diagnose(but(key_mode=0o644, sync_seconds=0.2))) == BAD
    assert worst(diagnose(but(sync_seconds=0.2))) == WARNING
    assert worst([]) == GOOD
