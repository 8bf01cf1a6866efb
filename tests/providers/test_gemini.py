"""Gemini's own API: what comes back, every way in which it fails, and the settings."""

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest

from providers.contracts import (
    Llm,
    LlmFinished,
    LlmUsage,
    TextDelta,
    ToolCallStarted,
)
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    ContextTooLongError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
    UnknownModelError,
)
from providers.gemini import GeminiProvider
from providers.llm.gemini_models import gemini_model
from providers.provider import ProviderSettings
from tests.fakes.gemini_api import (
    ContentReply,
    FakeGemini,
    exhausted,
    plain_error,
)
from tests.fakes.gemini_replies import error_reply
from tests.fakes.openai_api import CUT, HANG, FakeCall, Reply, Step, frame
from tests.providers import gemini_lab
from tests.providers.gemini_lab import (
    ASK,
    ASK_WITH_TOOLS,
    END,
    KEY,
    OLD,
    collect,
    said,
    settings,
    stream,
)
from tests.providers.test_openai_chat import calls_of, finish_of, text_of

fake, provider, llm = gemini_lab.fake, gemini_lab.provider, gemini_lab.llm


# --- The answer --------------------------------------------------------------------------------------


async def test_text_streams_with_usage(fake: FakeGemini, llm: Llm) -> None:
    fake.contents.script(ContentReply(text="Grüße an die 世界.", thoughts="not spoken", cached=1, split=3))

    events = await collect(llm)

    assert [e.text for e in events if isinstance(e, TextDelta)] == ["Grüße", " an", " die", " 世界."]
    counted = len(str(fake.contents.requests[0].body["contents"]).split())
    assert finish_of(events) == LlmFinished("stop", LlmUsage(counted, 4 + 2, 1))


async def test_the_key_goes_out_in_its_header_and_events_are_asked_for(fake: FakeGemini, llm: Llm) -> None:
    await collect(llm)

    request = fake.contents.requests[0]
    assert request.headers["x-goog-api-key"] == KEY
    assert request.path == f"/v1beta/models/{OLD}:streamGenerateContent?alt=sse"


async def test_it_streams_rather_than_waits_and_hangs_up_when_closed(fake: FakeGemini, llm: Llm) -> None:
    fake.contents.script(stream(said({"text": "first"}), HANG))

    async with aclosing(llm.generate(ASK)) as events:
        assert await anext(events) == TextDelta("first")

    await asyncio.wait_for(fake.contents.requests[0].finished.wait(), 5)
    assert fake.contents.requests[0].aborted


async def test_a_cancelled_task_hangs_up(fake: FakeGemini, llm: Llm) -> None:
    fake.contents.script(stream(said({"text": "x"}), HANG))
    task = asyncio.create_task(collect(llm))
    await fake.contents.wait_for_requests(1)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    await asyncio.wait_for(fake.contents.requests[0].finished.wait(), 5)
    assert fake.contents.requests[0].aborted


async def test_calls_come_whole_with_ids_of_theirs_or_ours(fake: FakeGemini, llm: Llm) -> None:
    calls = (FakeCall("weather", '{"city": "Zürich"}', "fc_a"), FakeCall("clock", ""))
    fake.contents.script(ContentReply(text="One moment.", calls=calls), ContentReply(calls=calls, ids=False))

    with_ids = await collect(llm, ASK_WITH_TOOLS)
    without = await collect(llm, ASK_WITH_TOOLS)

    assert text_of(with_ids) == "One moment."
    assert calls_of(with_ids) == calls_of(without) == [("weather", '{"city":"Zürich"}'), ("clock", "{}")]
    assert "fc_a" in [e.id for e in with_ids if isinstance(e, ToolCallStarted)]
    assert finish_of(with_ids).reason == finish_of(without).reason == "tool_calls"


async def test_two_calls_under_one_id_are_two_calls(fake: FakeGemini, llm: Llm) -> None:
    call = {"functionCall": {"id": "x", "name": "clock"}}
    fake.contents.script(stream(said(call, call), END))

    assert calls_of(await collect(llm, ASK_WITH_TOOLS)) == [("clock", "{}"), ("clock", "{}")]


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("STOP", "stop"),
        ("OTHER", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("SPII", "content_filter"),
    ],
)
async def test_finish_reasons_are_translated(fake: FakeGemini, llm: Llm, reason: str, ours: str) -> None:
    fake.contents.script(ContentReply(text="x", finish=reason))

    assert finish_of(await collect(llm)).reason == ours


async def test_a_refused_prompt_is_filtered_content(fake: FakeGemini, llm: Llm) -> None:
    fake.contents.script(ContentReply(blocked="SAFETY"))

    events = await collect(llm)

    assert [type(event) for event in events] == [LlmFinished]
    assert finish_of(events).reason == "content_filter"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("MALFORMED_FUNCTION_CALL", BadAnswerError),
        ("UNEXPECTED_TOOL_CALL", BadAnswerError),
        ("MALFORMED_RESPONSE", BadAnswerError),
        ("MISSING_THOUGHT_SIGNATURE", InvalidRequestError),
    ],
)
async def test_an_answer_that_was_given_up_is_an_error(
    fake: FakeGemini, llm: Llm, reason: str, kind: type[ProviderError]
) -> None:
    fake.contents.script(ContentReply(finish=reason))

    with pytest.raises(kind):
        await collect(llm)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(said({"text": "thought", "thought": True}), id="a thought"),
        pytest.param(said({"text": "", "thoughtSignature": "c2ln"}), id="a signature"),
        pytest.param(said({"inlineData": {"mimeType": "image/png"}}), id="an image"),
        pytest.param(said(None, 3, {"text": 7}, {"functionCall": "x"}), id="odd parts"),
        pytest.param(frame({"candidates": None, "usageMetadata": [], "promptFeedback": 1}), id="odd members"),
        pytest.param(frame({"candidates": [{"content": None}, 3]}), id="odd candidates"),
        pytest.param(frame({"candidates": [{"content": {"parts": 3}}]}), id="no parts"),
        pytest.param(
            frame({"candidates": [{"index": 1, "content": {"parts": [{"text": "other"}]}}]}), id="another one"
        ),
        pytest.param(b": comment\n\nevent: x\r\nid: 3\n\n", id="other fields"),
        pytest.param(frame({"usageMetadata": {"promptTokenCount": "many"}}), id="odd counts"),
    ],
)
async def test_what_is_not_the_answer_is_passed_over(fake: FakeGemini, llm: Llm, extra: bytes) -> None:
    fake.contents.script(stream(extra, said({"text": "spoken"}), END))

    events = await collect(llm)

    assert text_of(events) == "spoken"
    assert finish_of(events) == LlmFinished("stop", None)


async def test_a_server_that_sends_a_list_is_understood(fake: FakeGemini, llm: Llm) -> None:
    parts = [{"candidates": [{"content": {"parts": [{"text": word}]}}]} for word in ("who", "le")]
    parts.append({"candidates": [{"finishReason": "STOP"}]})  # type: ignore[dict-item]
    fake.contents.script(Reply((json.dumps(parts).encode(),)))

    assert text_of(await collect(llm)) == "whole"


async def test_a_value_may_span_lines(fake: FakeGemini, llm: Llm) -> None:
    value = json.dumps(
        {"candidates": [{"content": {"parts": [{"text": "all"}]}, "finishReason": "STOP"}]}, indent=1
    )
    lines = "".join(f"data: {line}\r\n" for line in value.splitlines())
    fake.contents.script(stream(lines.encode()))

    assert text_of(await collect(llm)) == "all"


# --- Ends that are no ends ---------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [[], [CUT], [HANG]], ids=["the end of the body", "a cut", "a stall"])
async def test_a_complete_answer_needs_no_clean_end(fake: FakeGemini, llm: Llm, tail: list[Step]) -> None:
    fake.contents.script(stream(said({"text": "all"}, finish="STOP"), *tail))

    events = await collect(llm)

    assert text_of(events) == "all"
    assert finish_of(events).reason == "stop"


TEXT = said({"text": "x"})


@pytest.mark.parametrize(
    ("steps", "kind", "message"),
    [
        pytest.param([TEXT], ConnectionFailedError, "broke off", id="no end"),
        pytest.param([], ConnectionFailedError, "broke off", id="nothing"),
        pytest.param([TEXT, CUT], ConnectionFailedError, "broke off", id="cut"),
        pytest.param([TEXT[:30], CUT], ConnectionFailedError, "broke off", id="cut in a frame"),
        pytest.param([TEXT, HANG], TimedOutError, "stopped answering", id="stall"),
        pytest.param([frame("{not json")], BadAnswerError, "not JSON", id="garbage"),
        pytest.param([frame("[]")], BadAnswerError, "not an object", id="not an object"),
        pytest.param([TEXT, b"and so on\n"], BadAnswerError, "not an event", id="words"),
        pytest.param([b"words " * 20_000 + b"\n"], BadAnswerError, "not an event", id="many words"),
        pytest.param([b'{"a":' * 3000 + b"}\n"], BadAnswerError, "not an event", id="deep nonsense"),
        pytest.param([said({"functionCall": {"args": {}}})], BadAnswerError, "without a name", id="no name"),
        pytest.param(
            [TEXT, plain_error(503, "The model is overloaded.", "UNAVAILABLE")],
            OverloadedError,
            "overloaded",
            id="plain lines",
        ),
        pytest.param(
            [b"[" + plain_error(429, "Quota", "RESOURCE_EXHAUSTED") + b"]\n"],
            RateLimitError,
            "Quota",
            id="plain lines in a list",
        ),
        pytest.param(
            [frame({"error": {"code": 500, "message": "Boom", "status": "INTERNAL"}})],
            OverloadedError,
            "Boom",
            id="a frame",
        ),
        pytest.param(
            [END, plain_error(504, "Late", "DEADLINE_EXCEEDED")], TimedOutError, "Late", id="after the end"
        ),
        pytest.param(
            [frame([{"error": {"code": 403, "message": "No", "status": "PERMISSION_DENIED"}}])],
            AuthenticationError,
            "No",
            id="a frame with a list",
        ),
    ],
)
async def test_a_stream_that_breaks_says_how(
    fake: FakeGemini, llm: Llm, steps: list[Step], kind: type[ProviderError], message: str
) -> None:
    fake.contents.script(stream(*steps))

    with pytest.raises(kind, match=message):
        await collect(llm)

    assert text_of(await collect(llm)) == "Hello from the fake model.", "the next request works"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (exhausted(), RateLimitError),
        (error_reply(503, "The model is overloaded.", "UNAVAILABLE"), OverloadedError),
        (error_reply(500, "An internal error has occurred.", "INTERNAL"), OverloadedError),
        (error_reply(504, "Deadline", "DEADLINE_EXCEEDED"), TimedOutError),
        (error_reply(403, "Denied", "PERMISSION_DENIED"), AuthenticationError),
        (error_reply(404, "models/x is not found", "NOT_FOUND"), InvalidRequestError),
        (
            error_reply(
                400,
                "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
                "INVALID_ARGUMENT",
            ),
            ContextTooLongError,
        ),
        (Reply((b"<html>sorry</html>",), 502, "text/html"), OverloadedError),
        (Reply((b"<html>hello</html>",), 200, "text/html"), BadAnswerError),
        (Reply((b'[{"error": {"code": 429, "message": "late"}}]',)), RateLimitError),
        (Reply((b"[3]",)), BadAnswerError),
        (Reply((b"[]",)), ConnectionFailedError),
        (Reply((b"{",)), BadAnswerError),
    ],
)
async def test_refusals_are_told_apart(
    fake: FakeGemini, llm: Llm, reply: Reply, kind: type[ProviderError]
) -> None:
    fake.contents.script(reply)

    with pytest.raises(kind):
        await collect(llm)


async def test_the_time_to_wait_is_read_from_the_details(fake: FakeGemini, llm: Llm) -> None:
    fake.contents.script(exhausted("12.5s"))

    with pytest.raises(RateLimitError) as caught:
        await collect(llm)

    assert caught.value.retry_after == 12.5


async def test_a_slow_first_byte_has_a_deadline(fake: FakeGemini) -> None:
    provider = GeminiProvider(settings(fake, first_byte_timeout=0.2))
    fake.contents.script(stream(HANG))

    with pytest.raises(TimedOutError, match="did not begin"):
        await collect(provider.llm(OLD))
    await provider.aclose()


async def test_a_wrong_key_is_told_and_not_repeated(fake: FakeGemini) -> None:
    wrong = "AIzaWrongGeminiKey987654321"
    provider = GeminiProvider(ProviderSettings("lab", {"base_url": f"{fake.base_url}/v1beta"}, wrong))

    with pytest.raises(AuthenticationError) as caught:
        await collect(provider.llm(OLD))
    await provider.aclose()

    assert caught.value.message == "lab answered 401: API key not valid. Please pass a valid API key."


async def test_a_key_that_a_proxy_repeats_is_not_passed_on(fake: FakeGemini) -> None:
    provider = GeminiProvider(
        ProviderSettings("lab", {"base_url": f"{fake.base_url}/v1beta"}, "own-key-of-a-proxy")
    )
    fake.contents.default = error_reply(401, "no key: own-key-of-a-proxy", "UNAUTHENTICATED")
    fake.api_key = "own-key-of-a-proxy"

    with pytest.raises(AuthenticationError) as caught:
        await collect(provider.llm(OLD))
    await provider.aclose()

    assert caught.value.message == "lab answered 401: no key: [key]"


# --- The provider ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "thinking", "signs"),
    [
        ("gemini-1.5-flash", "none", False),
        ("gemini-2.5-flash-lite", "budget", False),
        ("models/gemini-3.8-flash", "level", True),
        ("gemini-flash-latest", "level", True),
        ("gemma-3-27b-it", "none", False),
        ("tunedModels/mine", "none", False),
    ],
)
def test_names_tell_what_a_model_can_do(name: str, thinking: str, signs: bool) -> None:
    model = gemini_model(name)

    assert (model.thinking, model.signs) == (thinking, signs)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/b ?c", "models/a%2Fb%20%3Fc"),
        ("models/gemini-2.5-flash", "models/gemini-2.5-flash"),
        ("tunedModels/gemini-2.5-flash", "tunedModels/gemini-2.5-flash"),
        ("retired", "models/gemini-2.5-flash"),
    ],
)
async def test_names_of_models_stay_within_their_place_in_the_address(
    fake: FakeGemini, name: str, path: str
) -> None:
    provider = GeminiProvider(settings(fake, upstream_models={"retired": OLD}))

    await collect(provider.llm(name))
    await provider.aclose()

    assert fake.contents.requests[0].path == f"/v1beta/{path}:streamGenerateContent?alt=sse"


def test_models_are_listed_and_engines_are_kept(fake: FakeGemini, provider: GeminiProvider) -> None:
    assert OLD in [model.id for model in provider.models()]
    assert {model.kind for model in provider.models()} == {"llm"}
    first = provider.llm("a")
    assert provider.llm("a") is first
    others = [provider.llm(f"m{at}") for at in range(80)]
    assert provider.llm("m79") is others[-1]
    assert provider.llm("a") is not first, "not every name that clients send is kept"
    with pytest.raises(UnknownModelError):
        provider.llm(" ")
    listed = GeminiProvider(settings(fake, models=["mine"])).models()
    assert [model.id for model in listed] == ["mine"]


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"base_url": "ftp://x"}, KEY),
        ({"headers": {"x": "a\nb"}}, KEY),
        ({"no_such": 1}, KEY),
        ({}, "a\nb"),
    ],
)
def test_wrong_options_are_named_at_start_up(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ValueError, match="lab"):
        GeminiProvider(ProviderSettings("lab", options, key))


async def test_a_connection_is_warmed_and_used_again(fake: FakeGemini, provider: GeminiProvider) -> None:
    engine: Any = provider.llm(OLD)
    await engine.warm()

    await collect(engine)
    await collect(engine)

    assert len({request.connection for request in fake.contents.requests}) == 1
