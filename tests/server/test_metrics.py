"""What `/metrics` counts, seen from a real server, and that its page tells all of it."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Literal

import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from websockets.asyncio.client import connect

from pipeline.config import AudioFormat
from pipeline.core.endpointing import Evidence
from pipeline.effects import (
    Effect,
    Emit,
    ReportDismissal,
    ReportFirstOutput,
    ReportRoute,
    ReportSpeculation,
    ReportToolCall,
    ReportTurnDecision,
)
from pipeline.errors import InvalidRequest
from pipeline.events import (
    BufferCommitted,
    ErrorRaised,
    ResponseDone,
    ResponseState,
    StatusDetails,
    TranscriptionCompleted,
    TranscriptionFailed,
    Usage,
)
from providers.contracts import Attempt, RouteTaken
from server.background import running_server
from server.metrics import Metrics
from server.settings import QuotaSettings, ServerSettings, Settings
from tests.conformance.client import openai_client, talk
from tests.dockerfile import ROOT

Samples = dict[str, float]


def samples(text: str) -> Samples:
    """`name{label="value"}` and its value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def scrape(url: str, key: str | None = None) -> str:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(f"{url}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        return str(answer.read().decode())


@pytest.fixture
def own_url() -> Iterator[str]:
    """A server that nobody else talks to, where a key has two requests and one session."""
    quotas = QuotaSettings(requests_per_minute=2, concurrent_sessions=1)
    with running_server(Settings(server=ServerSettings(quotas=quotas)), environ={}) as url:
        yield url


@pytest.fixture(scope="module")
def keyed_url() -> Iterator[str]:
    with running_server(Settings(server=ServerSettings(api_keys=(SecretStr("sk-one"),))), environ={}) as url:
        yield url


async def test_a_conversation_is_counted(own_url: str) -> None:
    kind = '{dialect="ga",profile="parley",type="realtime"}'
    async with talk(own_url, text=True) as session:
        completed = await session.ask("Hello")
        failed = await session.ask("[[fail drop]]")
        await session.ask("Nothing is left for this one.")
        await session.send("nonsense")
        await session.error()
        await session.send("session.update", session={"type": "realtime", "colour": "red"})
        await session.until("session.updated")
        during = samples(scrape(own_url))
        await refused_session(own_url)
    after = samples(scrape(own_url))
    while after[f"parley_sessions_active{kind}"]:  # the server may still be cleaning up
        after = samples(scrape(own_url))

    usage = [completed.response["usage"], failed.response["usage"]]
    assert during[f"parley_sessions_active{kind}"] == 1
    assert during[f"parley_sessions_total{kind}"] == 1
    assert during['parley_responses_total{status="completed"}'] == 1
    assert during['parley_responses_total{status="failed"}'] == 2
    assert during["parley_first_output_seconds_count"] == 2  # it broke in mid-sentence
    assert 0 < during["parley_first_output_seconds_sum"] < 10
    assert during['parley_tokens_total{direction="input"}'] == sum(used["input_tokens"] for used in usage)
    assert during['parley_tokens_total{direction="output"}'] == sum(used["output_tokens"] for used in usage)
    assert during['parley_errors_total{code="invalid_value",where="event"}'] == 1
    assert during['parley_errors_total{code="provider_connection_failed",where="response"}'] == 1
    assert during['parley_errors_total{code="rate_limit_exceeded",where="response"}'] == 1
    assert during["parley_ignored_members_total"] == 1
    assert during['parley_quota_refusals_total{quota="requests"}'] == 1
    assert after['parley_sessions_ended_total{reason="left"}'] == 1
    assert after['parley_quota_refusals_total{quota="sessions"}'] == 1
    assert after['parley_admissions_refused_total{code="session_limit_reached"}'] == 1


async def refused_session(url: str) -> None:
    async with connect(url.replace("http", "ws", 1) + "/v1/realtime", proxy=None) as socket:
        assert json.loads(await socket.recv())["type"] == "error"


def decision(item_id: str, outcome: Literal["wait", "suggest", "revoke", "end"]) -> Effect:
    return ReportTurnDecision(item_id, "semantic_vad", outcome, 2000, Evidence(200, 1500))


ATTEMPTS = (Attempt("lab/small", "provider_timeout", 0.5), Attempt("lab/large", None, 0.25))
ROUTE = RouteTaken("support", "premium", "b", "lab/large", "default route", ATTEMPTS)


def told_everything() -> str:
    """The output of metrics to which everything has happened once."""
    metrics = Metrics()
    done = ResponseState(
        id="resp_1",
        status="incomplete",
        conversation_id="conv_1",
        output_modalities=("text",),
        voice="Dennis",
        format=AudioFormat(),
        max_output_tokens=3,
        details=StatusDetails(reason="max_output_tokens"),
        usage=Usage(10, 3),
    )
    with metrics.session("beta", "openai", "transcription"):
        metrics.saw(Emit(TranscriptionCompleted("item_1", "Hello", 1.0)))
        metrics.saw(Emit(TranscriptionFailed("item_2", "provider_timeout", "Too late")))
        metrics.saw(Emit(ErrorRaised(InvalidRequest("Ours.", code=None), None, "server_error")))
        metrics.saw(ReportFirstOutput("resp_1", 0.25))
        metrics.saw(decision("item_3", "suggest"))
        metrics.saw(decision("item_3", "revoke"))
        metrics.saw(decision("item_3", "wait"))
        metrics.saw(decision("item_3", "suggest"))
        metrics.saw(decision("item_3", "end"))
        metrics.saw(Emit(BufferCommitted("item_3", None)))
        metrics.saw(ReportSpeculation("resp_1", "revoked", 0.5))
        metrics.saw(ReportSpeculation("resp_2", "used", 0.75))
        metrics.saw(ReportSpeculation("resp_3", "used", 1.0))
        metrics.saw(ReportDismissal("echo", 100, 900))
        metrics.saw(Emit(ResponseDone(done)))
        metrics.saw(ReportRoute("llm", "resp_1", ROUTE))
        metrics.saw(ReportToolCall("resp_1", "mcp/shop/find", "completed", 0.5))
        metrics.saw(ReportToolCall("resp_1", "web_search", "failed", 1.25))
        metrics.ignored_member()
        metrics.quota_refused("tokens")
        metrics.admission_refused("invalid_api_key")
        metrics.span_dropped()
    metrics.session_ended("idle")
    with pytest.raises(ValueError, match="crash"), metrics.session("ga", "parley", "realtime"):
        raise ValueError("crash")
    return metrics.text().decode()


def test_everything_is_counted_under_its_name() -> None:
    counted = {name: value for name, value in samples(told_everything()).items() if value}

    assert {name: value for name, value in counted.items() if "first_output" not in name} == {
        'parley_sessions_total{dialect="beta",profile="openai",type="transcription"}': 1,
        'parley_sessions_total{dialect="ga",profile="parley",type="realtime"}': 1,
        'parley_sessions_ended_total{reason="idle"}': 1,
        'parley_sessions_ended_total{reason="failed"}': 1,
        'parley_admissions_refused_total{code="invalid_api_key"}': 1,
        'parley_responses_total{status="incomplete"}': 1,
        'parley_tokens_total{direction="input"}': 10,
        'parley_tokens_total{direction="output"}': 3,
        'parley_transcriptions_total{outcome="completed"}': 1,
        'parley_transcriptions_total{outcome="failed"}': 1,
        'parley_turn_decisions_total{detection="semantic_vad",outcome="suggest"}': 2,
        'parley_turn_decisions_total{detection="semantic_vad",outcome="revoke"}': 1,
        'parley_turn_decisions_total{detection="semantic_vad",outcome="wait"}': 1,
        'parley_turn_decisions_total{detection="semantic_vad",outcome="end"}': 1,
        'parley_turn_suggestions_total{outcome="revoked"}': 1,
        'parley_turn_suggestions_total{outcome="confirmed"}': 1,
        'parley_speculations_total{outcome="revoked"}': 1,
        'parley_speculations_total{outcome="used"}': 2,
        'parley_speculation_seconds_total{outcome="revoked"}': 0.5,
        'parley_speculation_seconds_total{outcome="used"}': 1.75,
        'parley_routed_total{model="lab/large",router="support",stage="llm"}': 1,
        'parley_route_failures_total{code="provider_timeout",model="lab/small",stage="llm"}': 1,
        'parley_tool_calls_total{kind="mcp",outcome="completed"}': 1,
        'parley_tool_calls_total{kind="web_search",outcome="failed"}': 1,
        'parley_tool_seconds_total{kind="mcp",outcome="completed"}': 0.5,
        'parley_tool_seconds_total{kind="web_search",outcome="failed"}': 1.25,
        'parley_interruptions_dismissed_total{reason="echo"}': 1,
        'parley_errors_total{code="provider_timeout",where="transcription"}': 1,
        'parley_errors_total{code="server_error",where="event"}': 1,
        "parley_ignored_members_total": 1,
        'parley_quota_refusals_total{quota="tokens"}': 1,
        "parley_trace_spans_dropped_total": 1,
    }
    assert counted['parley_first_output_seconds_bucket{le="0.3"}'] == 1
    assert 'parley_first_output_seconds_bucket{le="0.2"}' not in counted


def suggestions(metrics: Metrics) -> Samples:
    found = samples(metrics.text().decode())
    return {name: value for name, value in found.items() if "suggestions" in name}


def test_a_turn_that_nobody_had_called_over_confirms_nothing() -> None:
    metrics = Metrics()
    metrics.saw(decision("item_1", "suggest"))
    metrics.saw(decision("item_2", "end"))
    metrics.saw(Emit(BufferCommitted("item_2", None)))

    assert suggestions(metrics) == {}


def test_turns_that_never_end_are_forgotten_in_time() -> None:
    metrics = Metrics()
    for number in range(10_001):
        metrics.saw(decision(f"item_{number}", "suggest"))
    metrics.saw(Emit(BufferCommitted("item_0", None)))
    metrics.saw(Emit(BufferCommitted("item_1", None)))

    assert suggestions(metrics) == {'parley_turn_suggestions_total{outcome="confirmed"}': 1}


def test_the_page_on_operations_lists_every_metric_with_its_type_and_labels() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    rows = re.findall(r"^\| `(parley_\w+)` \| (\w+) \|(.*?)\|", page, re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}

    families = list(text_string_to_metric_families(told_everything()))
    told = {
        f"{family.name}_total" if family.type == "counter" else family.name: (
            family.type,
            {label for sample in family.samples for label in sample.labels} - {"le"},
        )
        for family in families
    }

    assert documented == told


async def test_metrics_need_a_key_where_there_are_keys(keyed_url: str) -> None:
    async with openai_client(keyed_url, "sk-one") as client:
        secret = await client.realtime.client_secrets.create(session={"type": "realtime"})

    assert "parley_sessions_active" in scrape(keyed_url, "sk-one")
    for key, status in ((None, 401), ("sk-two", 401), (secret.value, 403)):
        with pytest.raises(urllib.error.HTTPError) as refused:
            scrape(keyed_url, key)
        with refused.value as answer:
            assert answer.status == status
