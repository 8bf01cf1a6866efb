"""The fake against the real `google-genai` package: what that client accepts and raises is the measure."""

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from tests.fakes.gemini_api import ContentReply, FakeGemini, exhausted, plain_error, signed
from tests.fakes.gemini_replies import error_reply
from tests.fakes.openai_api import FakeCall

# The client's own way with aiohttp.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")

NEW = "gemini-3.8-flash"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER: Any = types.Tool(
    function_declarations=[types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)]
)


@pytest.fixture
async def fake() -> AsyncGenerator[FakeGemini, None]:
    async with FakeGemini() as server:
        yield server


@pytest.fixture
async def client(fake: FakeGemini) -> AsyncGenerator[genai.client.AsyncClient, None]:
    options = types.HttpOptions(base_url=fake.base_url, retry_options=types.HttpRetryOptions(attempts=1))
    sdk = genai.Client(api_key=fake.api_key, http_options=options)
    yield sdk.aio
    await sdk.aio.aclose()
    sdk.close()


async def ask(
    client: genai.client.AsyncClient, contents: Any = "hi you", model: str = NEW, **config: Any
) -> list[types.GenerateContentResponse]:
    stream = await client.models.generate_content_stream(
        model=model, contents=contents, config=types.GenerateContentConfig(**config)
    )
    return [response async for response in stream]


async def test_the_client_reads_text_calls_and_usage(
    fake: FakeGemini, client: genai.client.AsyncClient
) -> None:
    calls = (FakeCall("weather", '{"city": "Zürich"}', "fc_a"), FakeCall("weather", "{}"))
    fake.contents.script(ContentReply(text="Grüße: 世界.", thoughts="Hm.", calls=calls, cached=3, split=1))

    responses = await ask(client, tools=[WEATHER])

    parts = [part for response in responses for part in response.parts or ()]
    assert "".join(part.text or "" for part in parts if not part.thought) == "Grüße: 世界."
    first, second = (part for part in parts if part.function_call)
    assert first.function_call is not None
    assert (first.function_call.id, first.function_call.args) == ("fc_a", {"city": "Zürich"})
    assert first.thought_signature == b"signed:weather"
    assert second.thought_signature is None
    last = responses[-1]
    assert last.candidates is not None
    assert last.candidates[0].finish_reason == types.FinishReason.STOP
    assert last.usage_metadata is not None
    assert last.usage_metadata.cached_content_token_count == 3
    assert last.usage_metadata.thoughts_token_count == 1
    body = fake.contents.requests[0].body
    assert body["contents"] == [{"parts": [{"text": "hi you"}], "role": "user"}]


def test_every_response_is_one_that_the_client_knows() -> None:
    replies = (
        ContentReply(text="a b", thoughts="t", calls=(FakeCall("f", '{"a": 1}'),), finish="MAX_TOKENS"),
        ContentReply(blocked="PROHIBITED_CONTENT"),
    )

    steps = [step for reply in replies for step in reply.render({"alt": "sse", "contents": []}).steps]

    assert len(steps) == 6
    for step in steps:
        assert isinstance(step, bytes)
        data = step.decode().removeprefix("data: ").strip()
        types.GenerateContentResponse.model_validate_json(data)


async def test_a_round_of_calls_with_its_signature_is_accepted(
    fake: FakeGemini, client: genai.client.AsyncClient
) -> None:
    fake.contents.script(ContentReply(calls=(FakeCall("weather", "{}", "fc_a"),)))
    said = (await ask(client, tools=[WEATHER]))[0].candidates
    assert said is not None
    result = types.FunctionResponse(id="fc_a", name="weather", response={"output": "rain"})
    contents = [
        types.UserContent("hi you"),
        said[0].content,
        types.Content(role="user", parts=[types.Part(function_response=result)]),
    ]

    responses = await ask(client, contents, tools=[WEATHER])

    assert responses[0].text == "Hello"
    assert "thoughtSignature" in json.dumps(fake.contents.requests[1].body)


async def test_without_server_sent_events_the_answer_is_a_list(fake: FakeGemini) -> None:
    reply = ContentReply(text="a b").render({"contents": []})

    (step,) = reply.steps

    assert isinstance(step, bytes)
    assert [entry["candidates"][0]["content"]["parts"][0]["text"] for entry in json.loads(step)] == [
        "a",
        " b",
        "",
    ]


@pytest.mark.parametrize(
    ("reply", "kind", "code"),
    [
        (exhausted(), errors.ClientError, 429),
        (error_reply(503, "The model is overloaded.", "UNAVAILABLE"), errors.ServerError, 503),
        (error_reply(500, "An internal error has occurred.", "INTERNAL"), errors.ServerError, 500),
    ],
)
async def test_errors_are_those_of_the_client(
    fake: FakeGemini, client: genai.client.AsyncClient, reply: Any, kind: type[errors.APIError], code: int
) -> None:
    fake.contents.script(reply)

    with pytest.raises(kind) as caught:
        await ask(client)

    assert caught.value.code == code


async def test_an_error_inside_the_stream_is_seen(fake: FakeGemini, client: genai.client.AsyncClient) -> None:
    error = plain_error(503, "The model is overloaded.", "UNAVAILABLE")
    fake.contents.script(ContentReply(text="a b", break_after=1, break_with=(error,)))

    with pytest.raises(errors.ServerError, match="overloaded"):
        await ask(client)


async def test_a_wrong_key_is_refused(fake: FakeGemini) -> None:
    options = types.HttpOptions(base_url=fake.base_url)
    sdk = genai.Client(api_key="wrong", http_options=options)

    with pytest.raises(errors.ClientError, match="API_KEY_INVALID"):
        await ask(sdk.aio)

    await sdk.aio.aclose()
    sdk.close()


USER = types.UserContent("hi")
CALL = types.FunctionCall(id="a", name="weather", args={})
UNSIGNED_CALL = types.Content(role="model", parts=[types.Part(function_call=CALL)])
SIGNED_CALL = types.Content(
    role="model", parts=[types.Part(function_call=CALL, thought_signature=b"signed:weather")]
)


def result(call_id: str | None = "a", name: str = "weather") -> types.Content:
    response = types.FunctionResponse(id=call_id, name=name, response={"output": "x"})
    return types.Content(role="user", parts=[types.Part(function_response=response)])


@pytest.mark.parametrize(
    ("contents", "config", "words"),
    [
        ([USER, UNSIGNED_CALL, result()], {}, "missing a thought_signature"),
        ([USER, SIGNED_CALL, result("b")], {}, "name and id"),
        ([USER, SIGNED_CALL, result("a", "clock")], {}, "name and id"),
        ([USER, SIGNED_CALL, USER], {}, "number of function response parts"),
        ([SIGNED_CALL, result()], {}, "immediately after a user turn"),
        ([USER, SIGNED_CALL], {}, "role model"),
        ([USER, types.ModelContent("so")], {}, "role model"),
        ([USER], {"presence_penalty": 1.0}, "Penalty is not enabled"),
        ([USER], {"thinking_config": types.ThinkingConfig(thinking_budget=0)}, "budget is not supported"),
        (
            [USER],
            {"thinking_config": types.ThinkingConfig(thinking_level=types.ThinkingLevel.MINIMAL)},
            "Thinking level MINIMAL",
        ),
        ([USER], {"response_mime_type": "application/json"}, "Cannot find field"),
        ([USER], {"stop_sequences": list("abcdef")}, "stop sequences"),
    ],
)
async def test_what_the_service_refuses_is_refused(
    fake: FakeGemini, client: genai.client.AsyncClient, contents: Any, config: dict[str, Any], words: str
) -> None:
    with pytest.raises(errors.ClientError, match=words):
        await ask(client, contents, tools=[WEATHER], **config)


async def test_an_unknown_model_is_refused(fake: FakeGemini, client: genai.client.AsyncClient) -> None:
    with pytest.raises(errors.ClientError, match="not found for API version"):
        await ask(client, model="gemini-0")


def test_signatures_are_bytes_in_base64() -> None:
    part = types.Part.model_validate_json(json.dumps({"text": "", "thoughtSignature": signed("x")}))

    assert part.thought_signature == b"signed:x"
