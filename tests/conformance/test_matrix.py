"""Every scenario goes as it has to, all of the protocol is in one or explained, and the page is true."""

import pytest

from tests.conformance.client import FENCE
from tests.conformance.matrix.__main__ import PAGE
from tests.conformance.matrix.absent import Absence
from tests.conformance.matrix.coverage import Coverage, cover
from tests.conformance.matrix.page import conformance_page
from tests.conformance.matrix.places import Place, published
from tests.conformance.scenarios import SCENARIOS
from tests.conformance.scenarios.registry import Case
from tests.conformance.scenarios.runner import Record, Stagehand

# Whoever comes first plays every scenario, where one test alone is run: half a minute on a quiet machine.
pytestmark = pytest.mark.timeout(600)

CASE = SCENARIOS[0]
SPEED = Place("client", "session", "audio.output.speed")


async def played(stagehand: Stagehand) -> Coverage:
    return cover([(case, await stagehand.record(case)) for case in SCENARIOS])


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in SCENARIOS])
async def test_a_scenario_goes_as_it_has_to(stagehand: Stagehand, case: Case) -> None:
    await stagehand.record(case)


async def test_every_published_event_and_member_is_shown_or_explained(stagehand: Stagehand) -> None:
    assert (await played(stagehand)).gaps() == []


async def test_nothing_that_is_explained_away_is_shown_all_the_same(stagehand: Stagehand) -> None:
    assert (await played(stagehand)).stale() == []


async def test_the_published_page_is_what_the_scenarios_show(stagehand: Stagehand) -> None:
    page = conformance_page(SCENARIOS, await played(stagehand))

    assert PAGE.read_text(encoding="utf-8") == page, "run: uv run python -m tests.conformance.matrix"


# --- the judge itself --------------------------------------------------------------------------------


def one_update(case: Case, answer: str) -> Coverage:
    """The coverage of a connection on which the speed was changed, and an error or a session came back."""
    sent = {
        "type": "session.update",
        "event_id": "mine_1",
        "session": {"type": "realtime", "audio": {"output": {"speed": 1.5, "voice": None}}},
    }
    error = {"type": "x", "code": None, "message": "No.", "param": None, "event_id": "mine_1"}
    body = {"error": error} if answer == "error" else {"session": {"model": "m"}}
    return cover([(case, Record([sent], [{"type": answer, "event_id": "e", **body}]))])


def test_what_a_client_sent_counts_where_it_has_a_value_and_was_not_refused() -> None:
    taken = one_update(CASE, "session.updated")

    assert taken.proofs[SPEED] == CASE.scenario.name
    assert Place("client", "session", "audio.output.voice") not in taken.proofs
    assert Place("server", "session", "model") in taken.proofs
    assert SPEED not in one_update(CASE, "error").proofs


def test_an_error_that_was_only_asked_for_to_wait_shows_nothing() -> None:
    fence = {"type": "response.cancel", "event_id": "mine_1", "response_id": FENCE}
    error = {"type": "x", "code": "y", "message": "No.", "param": None, "event_id": "mine_1"}
    record = Record([fence], [{"type": "error", "event_id": "e", "error": error}])

    assert cover([(CASE, record)]).proofs == {}


def test_the_first_scenario_is_the_proof() -> None:
    record = Record([], [{"type": "input_audio_buffer.cleared", "event_id": "e"}])
    cases = [case for case in SCENARIOS if case.variant == CASE.variant][:2]

    proofs = cover([(case, record) for case in cases]).proofs
    assert set(proofs.values()) == {cases[0].scenario.name}


def test_a_member_that_nobody_shows_is_a_gap_until_it_is_explained() -> None:
    everything_else = Coverage({place: "somewhere" for place in published() if place != SPEED})
    explained = Absence("for a test", "client", "session", ("audio.output.*",))

    assert everything_else.gaps([]) == [SPEED]
    assert everything_else.gaps([explained]) == []


@pytest.mark.parametrize("member", ["audio.output.speed", "*"])
def test_an_explanation_for_what_is_shown_is_stale(member: str) -> None:
    explained = Absence("for a test", "client", "session", (member,))

    assert Coverage({SPEED: "somewhere"}).stale([explained]) == [(explained, SPEED)]
    assert Coverage({}).stale([explained]) == []
