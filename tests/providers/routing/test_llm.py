"""Routers of language models: who is asked when, what is told, and what a failure costs."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from providers.contracts import (
    Attempt,
    Caller,
    LlmEvent,
    LlmFinished,
    LlmRequest,
    LlmUsage,
    RouteTaken,
    SystemMessage,
    TextDelta,
    TextPart,
    ToolCallStarted,
    UserMessage,
)
from providers.errors import (
    AuthenticationError,
    BadAnswerError,
    ConnectionFailedError,
    InvalidRequestError,
    OverloadedError,
    ProviderError,
    RateLimitError,
    TimedOutError,
)
from providers.router import RouterProvider
from providers.routing.llm import RouterLlm
from tests.providers.routing.bench import Bench, FakeLlm, about, pause
from tests.virtual_time import in_virtual_time

STOP = LlmFinished("stop", LlmUsage(3, 2))
HELLO = (TextDelta("Hel"), TextDelta("lo"), STOP)
USER = UserMessage((TextPart("Hi"),))
NEVER = pause(10_000)


def one_after_the_other(*models: str, **fallback: str) -> dict[str, Any]:
    """A router with one route that falls back in that order."""
    selection = {"models": models[1:]}
    variant = {"model_id": models[0], "model_selection": selection}
    return {"default_route": {"variants": [{"variant": variant}]}, "defaults": {"fallback": fallback}}


def asking(metadata: dict[str, Any] | None = None, user: str | None = None, **more: Any) -> LlmRequest:
    return LlmRequest((USER,), caller=Caller("sess", user, metadata or {}), **more)


async def ask(bench: Bench, request: LlmRequest | None = None) -> list[LlmEvent]:
    return [event async for event in RouterLlm("r", bench.routers, bench).generate(request or asking())]


def route(events: list[LlmEvent]) -> RouteTaken:
    assert isinstance(events[0], RouteTaken)
    return events[0]


async def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_the_route_is_told_first_and_the_answer_passes_through() -> None:
    bench = Bench({"a/one": FakeLlm(*HELLO)})
    bench.define(**one_after_the_other("a/one"))

    events = await ask(bench)

    assert events[1:] == list(HELLO)
    assert events[0] == RouteTaken(
        "r", "default", "variant-1", "a/one", "default route", (Attempt("a/one", None, 0.0),)
    )


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("no"),
        RateLimitError("slow down", retry_after=7),
        OverloadedError("busy"),
        ConnectionFailedError("gone"),
        TimedOutError("late"),
        BadAnswerError("noise"),
        InvalidRequestError("no such model"),
    ],
    ids=lambda error: error.code,
)
@in_virtual_time
async def test_whatever_fails_before_its_first_piece_is_replaced(error: ProviderError) -> None:
    bench = Bench({"a/one": FakeLlm(error), "b/two": FakeLlm(*HELLO)})
    bench.define(**one_after_the_other("a/one", "b/two"))

    events = await ask(bench)

    assert events[1:] == list(HELLO)
    assert [(tried.model, tried.error) for tried in route(events).attempts] == [
        ("a/one", error.code),
        ("b/two", None),
    ]
    assert route(events).reason == f"default route, after {error.code} of a/one"


@in_virtual_time
async def test_a_stall_costs_the_timeout_and_no_more() -> None:
    bench = Bench({"a/one": FakeLlm(NEVER), "b/two": FakeLlm(*HELLO)})
    bench.define(**one_after_the_other("a/one", "b/two", ttft_timeout="300ms"))
    began = await now()

    events = await ask(bench)

    assert await now() - began == pytest.approx(0.3)
    assert bench.engines["a/one"].closed == 1
    assert route(events).attempts[0] == about("a/one", "provider_timeout", 0.3)


@in_virtual_time
async def test_a_stalled_model_is_closed_as_soon_as_it_is_given_up() -> None:
    bench = Bench({"a/one": FakeLlm(NEVER), "b/two": FakeLlm(NEVER)})
    bench.define(**one_after_the_other("a/one", "b/two", ttft_timeout="300ms"))
    task = asyncio.create_task(ask(bench))

    await asyncio.sleep(0.31)

    assert [engine.closed for engine in bench.engines.values()] == [1, 0]
    task.cancel()
    await asyncio.wait([task])


@in_virtual_time
async def test_a_failure_costs_no_more_than_it_took() -> None:
    bench = Bench({"a/one": FakeLlm(pause(0.02), OverloadedError("busy")), "b/two": FakeLlm(*HELLO)})
    bench.define(**one_after_the_other("a/one", "b/two", ttft_timeout="2s"))
    began = await now()

    await ask(bench)

    assert await now() - began == pytest.approx(0.02)


@in_virtual_time
async def test_the_last_model_may_take_its_time() -> None:
    bench = Bench({"a/one": FakeLlm(OverloadedError("busy")), "b/two": FakeLlm(pause(20), *HELLO)})
    bench.define(**one_after_the_other("a/one", "b/two", ttft_timeout="300ms"))

    assert (await ask(bench))[1:] == list(HELLO)


@in_virtual_time
async def test_nobody_takes_over_once_something_was_said() -> None:
    bench = Bench({"a/one": FakeLlm(TextDelta("Hel"), ConnectionFailedError("gone")), "b/two": FakeLlm()})
    bench.define(**one_after_the_other("a/one", "b/two", ttft_timeout="300ms"))
    stream = RouterLlm("r", bench.routers, bench).generate(asking())

    assert [await anext(stream), await anext(stream)][1:] == [TextDelta("Hel")]
    with pytest.raises(ConnectionFailedError, match="gone"):
        await anext(stream)
    assert bench.engines["b/two"].begun == []


@pytest.mark.parametrize("first", [ToolCallStarted(0, "c", "f"), LlmFinished("content_filter")], ids=str)
@in_virtual_time
async def test_a_call_or_an_end_is_an_answer_too(first: LlmEvent) -> None:
    bench = Bench({"a/one": FakeLlm(first), "b/two": FakeLlm()})
    bench.define(**one_after_the_other("a/one", "b/two"))

    assert (await ask(bench))[1:] == [first]


@in_virtual_time
async def test_an_empty_delta_is_no_answer() -> None:
    bench = Bench({"a/one": FakeLlm(TextDelta(""), NEVER), "b/two": FakeLlm(*HELLO)})
    bench.define(**one_after_the_other("a/one", "b/two", ttft_timeout="300ms"))

    assert (await ask(bench))[1:] == list(HELLO)


@in_virtual_time
async def test_the_last_error_names_every_attempt() -> None:
    bench = Bench({"a/one": FakeLlm(AuthenticationError("wrong key")), "b/two": FakeLlm(NEVER)})
    bench.engines["c/three"] = FakeLlm(RateLimitError("slow down", retry_after=7))
    bench.define(**one_after_the_other("a/one", "b/two", "c/three", ttft_timeout="300ms"))

    with pytest.raises(RateLimitError) as caught:
        await ask(bench)

    assert caught.value.retry_after == 7
    assert str(caught.value) == (
        "Router 'r' got no answer. a/one (provider_authentication_failed): wrong key;"
        " b/two (provider_timeout): b/two gave no first piece within 0.3 s;"
        " c/three (rate_limit_exceeded): slow down"
    )


@in_virtual_time
async def test_an_engine_that_crashes_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench({"a/one": FakeLlm(KeyError("choices")), "b/two": FakeLlm(*HELLO)})
    bench.define(**one_after_the_other("a/one", "b/two"))

    assert route(await ask(bench)).attempts[0].error == "provider_bad_answer"
    assert "the engine of a/one crashed" in caplog.text


@in_virtual_time
async def test_a_model_that_does_not_exist_is_skipped() -> None:
    bench = Bench({"b/two": FakeLlm(*HELLO)})
    bench.define(**one_after_the_other("a/gone", "b/two"))

    assert route(await ask(bench)).model == "b/two"


@in_virtual_time
async def test_a_router_without_any_model_says_why() -> None:
    bench = Bench()
    bench.define(**one_after_the_other("a/gone"))

    with pytest.raises(InvalidRequestError, match="no model to ask: Unknown model 'a/gone'"):
        await ask(bench)


@in_virtual_time
async def test_no_router_asks_another_router() -> None:
    bench = Bench()
    provider = RouterProvider(bench.routers)
    provider.connect(bench)
    bench.define(**one_after_the_other("router/r"))
    bench.engines["router/r"] = provider.llm("r")

    with pytest.raises(InvalidRequestError, match="cannot send requests to another router"):
        await ask(bench)


class TestHedging:
    @in_virtual_time
    async def test_the_second_model_is_asked_after_the_delay_and_the_loser_is_closed_at_once(self) -> None:
        slow, quick = FakeLlm(pause(2), *HELLO), FakeLlm(pause(0.1), TextDelta("quick"), STOP)
        bench = Bench({"a/one": slow, "b/two": quick})
        bench.define(**one_after_the_other("a/one", "b/two", hedge_after="250ms"))
        began = await now()

        stream = RouterLlm("r", bench.routers, bench).generate(asking())
        async with aclosing(stream):
            first = await anext(stream)
            assert await now() - began == pytest.approx(0.35)
            assert await anext(stream) == TextDelta("quick")
            for _ in range(3):
                await asyncio.sleep(0)
            assert slow.closed == 1
            assert await now() - began == pytest.approx(0.35)
            assert [event async for event in stream] == [STOP]

        assert isinstance(first, RouteTaken)
        assert first.model == "b/two"
        assert first.reason == "default route, sooner than the one before it"
        assert quick.begun == [pytest.approx(began + 0.25)]

    @in_virtual_time
    async def test_the_first_model_may_still_win(self) -> None:
        slow, slower = FakeLlm(pause(0.4), *HELLO), FakeLlm(NEVER)
        bench = Bench({"a/one": slow, "b/two": slower})
        bench.define(**one_after_the_other("a/one", "b/two", hedge_after="250ms"))

        events = await ask(bench)

        assert route(events).model == "a/one"
        assert route(events).reason == "default route"
        assert slower.closed == 1

    @in_virtual_time
    async def test_nobody_else_is_asked_when_the_first_is_quick(self) -> None:
        bench = Bench({"a/one": FakeLlm(pause(0.2), *HELLO), "b/two": FakeLlm()})
        bench.define(**one_after_the_other("a/one", "b/two", hedge_after="250ms"))

        await ask(bench)

        assert bench.engines["b/two"].begun == []

    @in_virtual_time
    async def test_a_failed_one_is_replaced_while_the_other_runs_on(self) -> None:
        engines = {
            "a/one": FakeLlm(NEVER),
            "b/two": FakeLlm(OverloadedError("busy")),
            "c/three": FakeLlm(*HELLO),
        }
        bench = Bench(dict(engines))
        bench.define(
            **one_after_the_other("a/one", "b/two", "c/three", hedge_after="250ms", ttft_timeout="5s")
        )
        began = await now()

        events = await ask(bench)

        assert route(events).model == "c/three"
        assert await now() - began == pytest.approx(0.25)

    @in_virtual_time
    async def test_at_most_two_run_at_once(self) -> None:
        bench = Bench({name: FakeLlm(NEVER) for name in ("a/one", "b/two")} | {"c/three": FakeLlm(*HELLO)})
        bench.define(
            **one_after_the_other("a/one", "b/two", "c/three", hedge_after="250ms", ttft_timeout="1s")
        )
        began = await now()

        events = await ask(bench)

        assert await now() - began == pytest.approx(1.0)
        assert [tried.model for tried in route(events).attempts] == ["a/one", "c/three"]
        assert bench.engines["b/two"].closed == 1


class TestStopping:
    @in_virtual_time
    async def test_closing_the_stream_stops_the_model_at_once(self) -> None:
        bench = Bench({"a/one": FakeLlm(TextDelta("Hel"), NEVER)})
        bench.define(**one_after_the_other("a/one"))
        stream = RouterLlm("r", bench.routers, bench).generate(asking())
        await anext(stream)
        assert await anext(stream) == TextDelta("Hel")

        await stream.aclose()

        assert bench.engines["a/one"].closed == 1

    @in_virtual_time
    async def test_cancelling_while_nobody_has_answered_stops_everybody(self) -> None:
        bench = Bench({"a/one": FakeLlm(NEVER), "b/two": FakeLlm(NEVER)})
        bench.define(**one_after_the_other("a/one", "b/two", hedge_after="250ms"))
        task = asyncio.create_task(ask(bench))
        await asyncio.sleep(0.3)

        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert [engine.closed for engine in bench.engines.values()] == [1, 1]

    @in_virtual_time
    async def test_a_model_is_not_far_ahead_of_its_reader(self) -> None:
        said = 0

        async def count() -> None:
            nonlocal said
            said += 1

        script = [step for number in range(1000) for step in (TextDelta(str(number)), count)]
        bench = Bench({"a/one": FakeLlm(*script)})
        bench.define(**one_after_the_other("a/one"))
        stream = RouterLlm("r", bench.routers, bench).generate(asking())
        await anext(stream)
        for _ in range(100):
            await asyncio.sleep(0)

        assert said < 20
        await stream.aclose()


class TestBreaking:
    @in_virtual_time
    async def test_three_failures_take_a_model_out_and_a_probe_brings_it_back(self) -> None:
        broken, healthy = FakeLlm(OverloadedError("busy")), FakeLlm(*HELLO)
        bench = Bench({"a/one": broken, "b/two": healthy})
        bench.define(**one_after_the_other("a/one", "b/two"))
        for _ in range(5):
            assert route(await ask(bench)).model == "b/two"
        assert len(broken.begun) == 3

        await asyncio.sleep(15)
        await ask(bench)  # a probe, which fails: the next one is due after twice the time
        await asyncio.sleep(16)
        await ask(bench)
        assert len(broken.begun) == 4

        await asyncio.sleep(15)
        broken.script = HELLO
        assert route(await ask(bench)).model == "a/one"
        assert route(await ask(bench)).model == "a/one"

    @in_virtual_time
    async def test_failures_count_only_in_a_row(self) -> None:
        shaky = FakeLlm()
        bench = Bench({"a/one": shaky, "b/two": FakeLlm(*HELLO)})
        bench.define(**one_after_the_other("a/one", "b/two"))
        for _ in range(3):
            for script in ((OverloadedError("busy"),), (OverloadedError("busy"),), HELLO):
                shaky.script = script
                await ask(bench)

        assert len(shaky.begun) == 9

    @in_virtual_time
    async def test_probes_that_fail_are_twice_as_far_apart_each_time(self) -> None:
        broken = FakeLlm(OverloadedError("busy"))
        bench = Bench({"a/one": broken, "b/two": FakeLlm(*HELLO)})
        bench.define(**one_after_the_other("a/one", "b/two"))
        for _ in range(700):
            await ask(bench)
            await asyncio.sleep(1)

        gaps = [round(late - early) for early, late in zip(broken.begun[2:], broken.begun[3:], strict=False)]
        assert gaps == [15, 30, 60, 120, 120, 120, 120]

    @in_virtual_time
    async def test_one_request_probes_at_a_time(self) -> None:
        broken = FakeLlm(OverloadedError("busy"))
        bench = Bench({"a/one": broken, "b/two": FakeLlm(*HELLO)})
        bench.define(**one_after_the_other("a/one", "b/two"))
        for _ in range(3):
            await ask(bench)
        await asyncio.sleep(15)
        broken.script = (pause(1), *HELLO)

        both = await asyncio.gather(ask(bench), ask(bench))

        assert [route(events).model for events in both] == ["a/one", "b/two"]

    @in_virtual_time
    async def test_a_probe_that_nobody_waited_for_leaves_room_for_the_next(self) -> None:
        broken = FakeLlm(OverloadedError("busy"))
        bench = Bench({"a/one": broken, "b/two": FakeLlm(*HELLO)})
        bench.define(**one_after_the_other("a/one", "b/two"))
        for _ in range(3):
            await ask(bench)
        await asyncio.sleep(15)
        broken.script = (NEVER,)
        task = asyncio.create_task(ask(bench))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        broken.script = HELLO
        assert route(await ask(bench)).model == "a/one"

    @in_virtual_time
    async def test_when_all_are_broken_one_is_asked_all_the_same(self) -> None:
        bench = Bench({"a/one": FakeLlm(OverloadedError("busy"))})
        bench.define(**one_after_the_other("a/one"))
        for _ in range(4):
            with pytest.raises(OverloadedError):
                await ask(bench)

        bench.engines["a/one"].script = HELLO
        assert (await ask(bench))[1:] == list(HELLO)

    @pytest.mark.parametrize("order", [("a/one", "b/two"), ("b/two", "a/one")], ids=str)
    @in_virtual_time
    async def test_a_broken_model_does_not_hurry_a_slow_one(self, order: tuple[str, str]) -> None:
        bench = Bench({"a/one": FakeLlm(OverloadedError("busy")), "b/two": FakeLlm(*HELLO)})
        bench.define(**one_after_the_other("a/one", "b/two"))
        for _ in range(3):
            await ask(bench)
        bench.define(**one_after_the_other(*order, ttft_timeout="300ms"))
        bench.engines["b/two"].script = (pause(2), *HELLO)

        assert route(await ask(bench)).attempts == (about("b/two", None, 2.0),)

    @in_virtual_time
    async def test_a_rate_limit_is_respected_at_once(self) -> None:
        limited = FakeLlm(RateLimitError("slow down", retry_after=7))
        bench = Bench({"a/one": limited, "b/two": FakeLlm(*HELLO)})
        bench.define(**one_after_the_other("a/one", "b/two"))
        await ask(bench)
        await asyncio.sleep(6)
        await ask(bench)
        assert len(limited.begun) == 1

        await asyncio.sleep(1)
        await ask(bench)
        assert len(limited.begun) == 2

    @in_virtual_time
    async def test_a_refused_request_breaks_nothing(self) -> None:
        bench = Bench({"a/one": FakeLlm(InvalidRequestError("no tools")), "b/two": FakeLlm(*HELLO)})
        bench.define(**one_after_the_other("a/one", "b/two"))
        for _ in range(5):
            await ask(bench)

        assert len(bench.engines["a/one"].begun) == 5

    @in_virtual_time
    async def test_deaths_in_mid_stream_count(self) -> None:
        dying = FakeLlm(TextDelta("Hel"), ConnectionFailedError("gone"))
        bench = Bench({"a/one": dying, "b/two": FakeLlm(*HELLO)})
        bench.define(**one_after_the_other("a/one", "b/two"))
        for _ in range(3):
            with pytest.raises(ConnectionFailedError):
                await ask(bench)

        assert route(await ask(bench)).model == "b/two"


class TestRequests:
    @in_virtual_time
    async def test_settings_are_laid_under_what_the_request_says(self) -> None:
        bench = Bench({"a/one": FakeLlm(*HELLO)})
        config = {
            "temperature": 0.3,
            "topP": 0.8,
            "max_tokens": 50,
            "frequency_penalty": 0.1,
            "presencePenalty": 0.2,
            "stop_sequences": ["END"],
            "reasoning": {"effort": "LOW"},
            "seed": 4,
        }
        definition = one_after_the_other("a/one")
        definition["default_route"]["variants"][0]["variant"]["text_generation_config"] = config
        bench.define(**definition)

        await ask(bench)
        await ask(bench, asking(temperature=1.0, stop=("STOP",), max_output_tokens=9))

        first, second = bench.engines["a/one"].requests
        assert (first.temperature, first.top_p, first.max_output_tokens) == (0.3, 0.8, 50)
        assert (first.frequency_penalty, first.presence_penalty) == (0.1, 0.2)
        assert (first.stop, first.reasoning_effort) == (("END",), "low")
        assert (second.temperature, second.top_p, second.max_output_tokens) == (1.0, 0.8, 9)
        assert second.stop == ("STOP",)

    @in_virtual_time
    async def test_the_settings_of_a_variant_replace_the_defaults(self) -> None:
        bench = Bench({"a/one": FakeLlm(*HELLO)})
        definition = one_after_the_other("a/one")
        definition["defaults"]["text_generation_config"] = {"temperature": 0.3, "top_p": 0.8}
        definition["default_route"]["variants"][0]["variant"]["text_generation_config"] = {"temperature": 0.5}
        bench.define(**definition)

        await ask(bench)

        (request,) = bench.engines["a/one"].requests
        assert (request.temperature, request.top_p) == (0.5, None)

    @in_virtual_time
    async def test_templates_come_first_with_their_placeholders_filled(self) -> None:
        bench = Bench({"a/one": FakeLlm(*HELLO)})
        definition = one_after_the_other("a/one")
        definition["defaults"]["message_templates"] = [
            {"role": "system", "content": "You help {{ name }} in {{city}}{{nothing}}."}
        ]
        bench.define(**definition)

        await ask(bench, asking({"name": "Ann", "city": "Rome", "prompt_variables": {"city": "Oslo"}}))

        (request,) = bench.engines["a/one"].requests
        assert request.messages == (SystemMessage("You help Ann in Oslo."), USER)


@in_virtual_time
async def test_speed_is_measured_unless_the_reader_is_slow() -> None:
    spoken = [step for _ in range(10) for step in (pause(0.1), TextDelta("word"))]
    bench = Bench({"a/one": FakeLlm(pause(0.4), *spoken, LlmFinished("stop", LlmUsage(1, 45)))})
    bench.define(**one_after_the_other("a/one"))
    board = bench.routers.boards["llm"]

    await ask(bench)

    assert board.latency("a/one") == pytest.approx(0.5)
    assert board.throughput("a/one") == pytest.approx(50)

    async for _ in RouterLlm("r", bench.routers, bench).generate(asking()):
        await asyncio.sleep(0.2)

    assert board.throughput("a/one") == pytest.approx(50)


@in_virtual_time
async def test_warming_prepares_the_first_choices_only() -> None:
    bench = Bench({"a/one": FakeLlm(), "b/two": FakeLlm()})
    bench.define(**one_after_the_other("a/one", "b/two"))

    await RouterLlm("r", bench.routers, bench).warm()
    await RouterLlm("gone", bench.routers, bench).warm()

    assert [engine.warmed for engine in bench.engines.values()] == [1, 0]


@in_virtual_time
async def test_a_router_that_was_deleted_fails_the_request() -> None:
    bench = Bench({"a/one": FakeLlm(*HELLO)})
    bench.define(**one_after_the_other("a/one"))
    llm = RouterLlm("r", bench.routers, bench)
    bench.routers.remove("r")

    with pytest.raises(InvalidRequestError, match="there is no router 'r' of kind llm"):
        await anext(llm.generate(asking()))
