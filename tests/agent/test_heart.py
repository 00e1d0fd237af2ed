"""A node's life with the coordinator, in simulated time: real vault and home, a stand-in party."""

import asyncio
import contextlib
import itertools

import msgspec
import pytest
from tests.agent.stand_in import TOKEN, StandIn

from holdfast.agent.heart import LOST_MAX, Heart
from holdfast.agent.home import Home, Settings, Status
from holdfast.agent.registration import register
from holdfast.agent.vault import Vault
from holdfast.protocol.fleet import Deletion, Welcome
from holdfast.protocol.heartbeats import seal_welcome
from holdfast.protocol.messages import shard_id
from holdfast.protocol.signing import SigningKey
from holdfast.world.errors import Refusal, Trouble
from holdfast.world.offload import InlineOffload
from holdfast.world.simulated import loop as simulated
from holdfast.world.simulated.chance import SimulatedChance
from holdfast.world.simulated.clock import SimulatedClock
from holdfast.world.system_disk import SystemDisk


async def addresses(settings):
    return settings.advertised or ["tcp://127.0.0.1:7420"]


AWAY = Trouble("endpoint.unreachable", "Nobody there.")
SHARDS = [shard_id(bytes([number]) * 16, 0) for number in range(5)]


class Life:
    """One node and its coordinator."""

    def __init__(self, folder, loop):
        self.clock = SimulatedClock(loop.time)
        self.home = Home(SystemDisk(folder))
        self.key = self.home.make_key(SimulatedChance(1))
        self.home.save_settings(
            Settings(endpoint="https://x", token=TOKEN, node_name="attic", zone="house", allocated=10**9)
        )
        self.vault_disk = SystemDisk(folder / "vault")
        self.party = StandIn(self.clock)
        self.learned = []
        self.vault = None

    async def opened(self):
        self.vault = await Vault.open(
            self.vault_disk,
            allocated=10**9,
            reserve=0,
            offload=InlineOffload(),
            clock=self.clock,
            chance=SimulatedChance(2),
        )
        return self

    async def store(self, *shards):
        for one in shards:
            await self.vault.put(one, b"", [b"body"], root=bytes(32))

    def heart(self):
        return Heart(
            home=self.home,
            key=self.key,
            stock=self.vault,
            coordinator=self.party,
            clock=self.clock,
            chance=SimulatedChance(3),
            offload=InlineOffload(),
            addresses=addresses,
            learn=self.learned.append,
            obey=lambda settings: setattr(self.vault, "allocated", settings.allocated),
            status=Status(state="running", time=self.clock.now()),
        )

    @contextlib.asynccontextmanager
    async def beating(self):
        task = asyncio.create_task(self.heart().run())
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def live(tmp_path):
    """Runs `story(life)` in simulated time."""

    def run(story):
        async def main(loop):
            life = await Life(tmp_path, loop).opened()
            try:
                return await story(life)
            finally:
                await life.vault.close()

        return simulated.run(main)

    return run


def test_a_node_registers_once_and_then_beats_every_thirty_seconds(live):
    async def story(life):
        async with life.beating():
            await asyncio.sleep(300)
        heard = life.party.heard
        assert 10 <= len(heard) <= 12
        assert life.party.token_used_by == life.key.public
        assert life.home.memory().registered
        gaps = [later.time - earlier.time for earlier, later in itertools.pairwise(heard)]
        assert all(27_000_000 <= gap <= 30_000_000 for gap in gaps)
        first = heard[0]
        assert (first.node_name, first.zone, first.allocated) == ("attic", "house", 10**9)
        assert first.addresses == ["tcp://127.0.0.1:7420"]

    live(story)


def test_the_coordinator_says_how_often(live):
    async def story(life):
        life.party.heartbeat_seconds = 5
        async with life.beating():
            await asyncio.sleep(61)
        assert len(life.party.heard) in {13, 14}

    live(story)


def test_a_lost_answer_to_the_registration_is_mended_by_registering_again(live):
    async def story(life):
        life.party.deaf_after = AWAY
        async with life.beating():
            await asyncio.sleep(3)
            assert not life.home.memory().registered
            life.party.deaf_after = None
            await asyncio.sleep(10)
        assert life.home.memory().registered

    live(story)


def test_init_registers_a_node_that_is_not_running_and_may_be_repeated(live):
    async def story(life):
        life.party.deaf_after = AWAY
        with pytest.raises(Trouble):
            await register(life.home, life.home.settings(), life.party, life.clock)
        life.party.deaf_after = None
        await register(life.home, life.home.settings(), life.party, life.clock)
        memory = life.home.memory()
        assert memory.registered
        assert memory.issuers == life.party.issuers

    live(story)


def test_a_refused_invitation_ends_a_node_that_is_nobody_yet(live):
    async def story(life):
        life.party.token_used_by = b"another"
        with pytest.raises(Refusal) as caught:
            await life.heart().run()
        assert caught.value.code == "invitation.invalid"

    live(story)


def test_a_coordinator_that_did_not_make_the_invitation_is_not_believed(live):
    async def story(life):
        life.party.issuer = SigningKey(b"\7" * 32)
        with pytest.raises(Refusal, match="not the coordinator") as caught:
            await life.heart().run()
        assert caught.value.code == "signature.invalid"
        assert not life.home.memory().registered
        assert life.learned == [[]]

    live(story)


def test_whoever_stands_in_between_can_neither_delete_shards_nor_exchange_the_issuers(live):
    async def story(life):
        await life.store(*SHARDS)
        async with life.beating():
            await asyncio.sleep(40)
            thief = SigningKey(b"\7" * 32)
            believed = life.home.memory().issuers
            recorded = []

            def forged(answer):
                recorded.append(answer)
                welcome = msgspec.msgpack.decode(answer.payload, type=Welcome)
                greedy = msgspec.structs.replace(
                    welcome, issuer_keys=[thief.public], deletions=[Deletion(sequence=9, shard_ids=SHARDS)]
                )
                return seal_welcome(thief, greedy)

            life.party.between = forged
            await asyncio.sleep(100)
            assert "no reason to believe" in life.home.status().failure
            # An old answer of the real coordinator is worth nothing either.
            life.party.between = lambda _: recorded[0]
            await asyncio.sleep(100)
            assert "another message" in life.home.status().failure
            assert life.home.memory().issuers == believed
            assert (life.vault.shard_count, life.home.memory().deletions_done) == (len(SHARDS), 0)
            life.party.between = lambda answer: answer
            await asyncio.sleep(40)
            assert life.home.status().failure == ""

    live(story)


@pytest.mark.parametrize("token", ["", "hf1-", "nonsense"])
def test_a_node_without_a_whole_invitation_says_so_before_it_asks(live, token):
    async def story(life):
        life.home.save_settings(msgspec.structs.replace(life.home.settings(), token=token))
        with pytest.raises(Refusal) as caught:
            await life.heart().run()
        assert caught.value.code == ("invitation.invalid" if token else "config.missing")
        assert life.party.heard == []

    live(story)


def test_while_the_coordinator_is_away_the_node_asks_with_growing_pauses_and_comes_back(live):
    async def story(life):
        async with life.beating():
            await asyncio.sleep(1)
            life.party.away = AWAY
            await asyncio.sleep(600)
            tries = list(life.party.tries)
            life.party.away = None
            before = len(life.party.heard)
            await asyncio.sleep(31)
            assert len(life.party.heard) > before
        gaps = [(later - earlier) / 1e6 for earlier, later in itertools.pairwise(tries)]
        assert gaps[0] <= 1
        assert 15 <= gaps[-1] <= 30
        assert 20 <= len(tries) <= 50

    live(story)


def test_the_sequence_grows_over_restarts_and_over_a_clock_that_is_set_back(live):
    async def story(life):
        for back in (0, -3600, 7200, -7200):
            life.clock.jump(back)
            async with life.beating():
                await asyncio.sleep(70)
        sequences = [facts.sequence for facts in life.party.heard]
        assert len(sequences) == 12
        assert sequences == sorted(set(sequences))

    live(story)


def test_a_sequence_that_was_only_signed_is_never_used_again(live):
    async def story(life):
        life.party.away = AWAY
        async with life.beating():
            await asyncio.sleep(1)
        signed = life.home.memory().sequence
        life.clock.jump(-3600)
        life.party.away = None
        async with life.beating():
            await asyncio.sleep(1)
        assert life.party.heard[0].sequence > signed

    live(story)


def test_a_deletion_is_carried_out_then_confirmed_soon_and_never_done_twice(live):
    async def story(life):
        await life.store(*SHARDS)
        life.party.deletions = [
            Deletion(sequence=4, shard_ids=SHARDS[:2]),
            Deletion(sequence=9, shard_ids=[SHARDS[2], b"no shard id", shard_id(b"?" * 16, 1)]),
        ]
        async with life.beating():
            await asyncio.sleep(2)
            assert [facts.deletions_done for facts in life.party.heard] == [0, 9]
            assert life.vault.ids() == SHARDS[3:]
            # The same shard may come back later; an old deletion, told again, must not take it.
            await life.store(SHARDS[0])
            life.party.deletions = [Deletion(sequence=9, shard_ids=SHARDS[:1])]
            await asyncio.sleep(60)
        assert life.vault.holds(SHARDS[0])
        assert life.home.memory().deletions_done == 9

    live(story)


def test_what_was_confirmed_before_a_restart_stays_confirmed(live):
    async def story(life):
        life.party.deletions = [Deletion(sequence=4, shard_ids=SHARDS[:1])]
        async with life.beating():
            await asyncio.sleep(1)
        async with life.beating():
            await asyncio.sleep(1)
        assert life.party.heard[-1].deletions_done == 4

    live(story)


def test_a_journal_out_of_order_is_carried_out_in_order(live):
    async def story(life):
        life.party.deletions = [
            Deletion(sequence=7, shard_ids=[]),
            Deletion(sequence=5, shard_ids=[]),
        ]
        async with life.beating():
            await asyncio.sleep(1)
        assert life.home.memory().deletions_done == 7

    live(story)


def test_new_issuer_keys_are_learned_and_kept(live):
    async def story(life):
        async with life.beating():
            await asyncio.sleep(1)
            life.party.issuers = [life.party.issuer.public, b"\7" * 32]
            await asyncio.sleep(31)
        assert life.learned[-1] == life.party.issuers
        assert life.home.memory().issuers == life.party.issuers
        life.learned.clear()
        life.heart()
        assert life.learned == [life.party.issuers], "known again before the coordinator is"

    live(story)


def test_lost_shards_are_reported_once_they_are_known_a_thousand_at_a_time(live, tmp_path):
    async def story(life):
        many = [shard_id(number.to_bytes(16, "big"), 0) for number in range(LOST_MAX + 5)]
        await asyncio.gather(*(life.store(one) for one in many))
        await life.vault.close()
        for volume in sorted((tmp_path / "vault").iterdir()):
            volume.write_bytes(volume.read_bytes().replace(b"body", b"bodi"))
        await life.opened()
        await life.vault.scrub(limit=len(many))
        assert life.vault.lost == many
        async with life.beating():
            await asyncio.sleep(100)
        reported = [facts.lost for facts in life.party.heard]
        assert reported[:2] == [many[:LOST_MAX], many[LOST_MAX:]]
        assert not any(reported[2:])
        assert life.party.heard[1].time - life.party.heard[0].time < 2_000_000

    live(story)


def test_new_settings_are_taken_up_at_the_next_heartbeat_or_at_once_when_told(live):
    async def story(life):
        heart = life.heart()
        task = asyncio.create_task(heart.run())
        await asyncio.sleep(1)
        changed = msgspec.structs.replace(
            life.home.settings(), allocated=2 * 10**9, zone="shed", advertised=["tls://home.example:1"]
        )
        life.home.save_settings(changed)
        heart.beat_soon()
        await asyncio.sleep(0.1)
        task.cancel()
        last = life.party.heard[-1]
        assert (last.allocated, last.zone, last.addresses) == (2 * 10**9, "shed", ["tls://home.example:1"])
        assert life.vault.allocated == 2 * 10**9

    live(story)


def test_settings_that_cannot_be_read_do_not_take_a_running_node_away(live, tmp_path):
    async def story(life):
        async with life.beating():
            await asyncio.sleep(1)
            (tmp_path / "settings.json").write_text("{ oops")
            before = len(life.party.heard)
            await asyncio.sleep(31)
            assert len(life.party.heard) > before

    live(story)


def test_a_goodbye_asks_for_nothing_more_to_be_placed_here(live):
    async def story(life):
        heart = life.heart()
        await heart.beat()
        await heart.goodbye()
        assert [(facts.stopping, facts.free > 0) for facts in life.party.heard] == [
            (False, True),
            (True, False),
        ]

    live(story)


def test_a_goodbye_that_nobody_hears_holds_nothing_up(live):
    async def story(life):
        life.party.away = AWAY
        began = life.clock.monotonic()
        await life.heart().goodbye()
        assert life.clock.monotonic() - began < 5

    live(story)


def test_a_clock_that_is_off_is_noticed(live):
    async def story(life):
        life.party.clock_offset = 45_000_000
        life.party.notices = ["Version 0.1 is old."]
        heart = life.heart()
        await heart.beat()
        status = heart.status()
        assert status.clock_offset == 45_000_000
        assert status.notices == [
            "Version 0.1 is old.",
            "This machine's clock is +45 s off the coordinator's.",
        ]

    live(story)


def test_an_unknown_node_keeps_serving_and_says_why(live):
    async def story(life):
        heart = life.heart()
        task = asyncio.create_task(heart.run())
        await asyncio.sleep(1)
        life.party.nodes.clear()
        await asyncio.sleep(100)
        assert not task.done()
        assert heart.status().failure == "No such node."
        assert heart.status().heartbeat_failures > 1
        task.cancel()

    live(story)


def test_a_shard_that_is_lost_again_is_reported_again(live, tmp_path):
    async def story(life):
        heart = life.heart()
        for _ in range(2):
            await life.store(SHARDS[0])
            await heart.beat()
            for volume in sorted((tmp_path / "vault").iterdir()):
                volume.write_bytes(volume.read_bytes().replace(b"body", b"bodi"))
            await life.vault.scrub()
            await heart.beat()
            await heart.beat()
        reported = [facts.lost for facts in life.party.heard]
        assert reported == [[], SHARDS[:1], [], [], SHARDS[:1], []]

    live(story)
