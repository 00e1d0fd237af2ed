"""The bookkeeping against a twin that keeps every record in a list and looks at all of them each time."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from tests.agent.vault.conftest import shard

from holdfast.agent.catalogue import SMALL_VOLUMES_MAX, Catalogue, Tally, victim
from holdfast.agent.index import Place
from holdfast.agent.record import Header, Kind
from holdfast.agent.volume import NO_ROOT

# (id, kind, volume): the sequence is the place in the list.
written = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([Kind.PUT, Kind.DELETE]), st.integers(1, 4)))


def header(number: int, kind: Kind, sequence: int) -> Header:
    length = number + 1 if kind == Kind.PUT else 0
    return Header(kind, shard(number), 0, length, sequence, 0, 0, 0, NO_ROOT)


def newest(records, number):
    about = [record for record in records if record[0].shard_id == shard(number)]
    return max(about, key=lambda record: record[0].sequence, default=None)


def check(catalogue: Catalogue, records: list[tuple[Header, int, int]]):
    live_bytes = Counter()
    for number in range(4):
        holds = newest(records, number)
        puts = sum(one.shard_id == shard(number) and one.kind == Kind.PUT for one, _, _ in records)
        place = holds and Place(holds[1], holds[2], 0, holds[0].body_length, holds[0].sequence)
        is_put = holds is not None and holds[0].kind == Kind.PUT
        assert catalogue.index.get(shard(number)) == (place if is_put else None)
        # A delete counts as long as a put is on disk that it must keep down.
        keeps_down = holds is not None and not is_put and puts > 0
        assert catalogue.delete_at(shard(number)) == (place if keeps_down else None)
        if is_put or keeps_down:
            live_bytes[holds[1]] += holds[0].record_bytes
    assert {number: tally.live for number, tally in catalogue.volumes.items()} == {
        number: live_bytes[number] for number in catalogue.volumes
    }


@given(written, st.randoms(use_true_random=False), st.permutations([1, 2, 3, 4]))
def test_whatever_order_records_are_read_in_the_newest_of_each_id_holds(steps, random, removals):
    records = [
        (header(n, kind, sequence), volume, sequence) for sequence, (n, kind, volume) in enumerate(steps)
    ]
    random.shuffle(records)
    catalogue = Catalogue()
    for volume in removals:
        catalogue.add_volume(volume, 1000)
    for one, volume, offset in records:
        catalogue.apply(one, volume, offset)
    catalogue.settle_deletes()
    check(catalogue, records)
    for volume in removals:
        records = compacted(catalogue, records, volume)
        check(catalogue, records)
    assert not catalogue.volumes.keys() - {9}


def compacted(catalogue, records, volume):
    """Copies what is needed of a volume to volume 9, then removes it, as a compaction does."""
    if 9 not in catalogue.volumes:
        catalogue.add_volume(9, 0)
    puts = Counter(one.shard_id for one, where, _ in records if where == volume and one.kind == Kind.PUT)
    for one, where, offset in list(records):
        if where != volume:
            continue
        place = catalogue.index.get(one.shard_id)
        if one.kind == Kind.DELETE:
            outlives = catalogue.delete_outlives(one.shard_id, puts[one.shard_id])
            place = catalogue.delete_at(one.shard_id) if outlives else None
        if place is not None and (place.volume, place.offset) == (volume, offset):
            catalogue.apply(one, 9, offset)
            records.append((one, 9, offset))
    catalogue.remove_volume(volume, puts.elements())
    return [record for record in records if record[1] != volume]


def test_a_lost_shard_stays_lost_until_it_is_put_again_or_deleted():
    catalogue = Catalogue()
    catalogue.add_volume(1, 1000)
    for sequence, settle in enumerate([Kind.PUT, Kind.DELETE]):
        catalogue.apply(header(1, Kind.PUT, 10 * sequence), 1, 0)
        place = catalogue.index.get(shard(1))
        assert catalogue.lose(shard(1), place, "bits rot")
        assert not catalogue.lose(shard(1), place, "again")
        assert catalogue.lost == {shard(1): "bits rot"}
        catalogue.apply(header(1, settle, 10 * sequence + 5), 1, 300)
        assert catalogue.lost == {}


def test_the_volume_that_regains_most_is_compacted_first_if_it_is_worth_it():
    def tally(dead, live, *, sealed=True):
        return Tally(dead + live, live, overhead=0, sealed=sealed)

    def choose(share, room=10**6, **tallies):
        volumes = {int(name[1:]): tally for name, tally in tallies.items()}
        return victim(volumes, room=room, share=share, small_bytes=50)

    assert choose(0.25) is None
    assert choose(0.25, v1=tally(24, 76), v2=tally(0, 100)) is None
    assert choose(0.25, v1=tally(30, 70), v2=tally(40, 60)) == 2
    assert choose(0.25, v1=tally(99, 1, sealed=False)) is None, "the growing volume stays"
    assert choose(0.25, room=50, v1=tally(40, 60), v2=tally(60, 40)) == 2
    assert choose(0.25, room=10, v1=tally(40, 60), v2=tally(60, 40)) is None, "the copies must fit"
    assert choose(0.0, v1=tally(0, 100)) is None, "nothing to regain"
    assert choose(0.9, room=-5) is None
    assert choose(0.25, room=0, v3=tally(10, 0)) == 3, "a dead volume needs no room"


def test_many_small_volumes_are_merged_one_at_a_time():
    volumes = {
        number: Tally(30 + number % 3, 30, overhead=0, sealed=True) for number in range(SMALL_VOLUMES_MAX)
    }
    volumes[90] = Tally(1000, 1000, overhead=0, sealed=True)
    assert victim(volumes, room=500, share=0.5, small_bytes=50) is None
    volumes[91] = Tally(29, 29, overhead=0, sealed=True)
    assert victim(volumes, room=500, share=0.5, small_bytes=50) == 91
    volumes[92] = Tally(29, 0, overhead=29, sealed=False)
    assert victim(volumes, room=500, share=0.5, small_bytes=50) == 91
