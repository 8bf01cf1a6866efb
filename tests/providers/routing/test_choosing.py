"""Which route, which variant, which models in which order; and definitions that are refused."""

import copy
from collections import Counter
from typing import Any

import pytest

from providers.contracts import Caller, TextPart, UserMessage
from providers.errors import InvalidRequestError
from providers.routing.choosing import Plan
from providers.routing.definition import DefinitionError, parse_definition
from providers.routing.scoreboard import STALE, Scoreboard
from tests.providers.routing.bench import Bench

MODELS = ("a/one", "b/two", "c/three", "openai/gpt-4o", "openai/gpt-4o-mini", "local/tiny")


def to(model: str, **more: Any) -> dict[str, Any]:
    return {"variants": [{"variant": {"model_id": model, **more}}]}


def pool(*models: str, **selection: Any) -> dict[str, Any]:
    return {"variants": [{"variant": {"model_selection": {"models": models, **selection}}}]}


class Chooser:
    """A router over models that need not run."""

    def __init__(self, *chances: float, **definition: Any) -> None:
        self.clock = 0.0
        self.bench = Bench(dict.fromkeys(MODELS), defaults="c/three")
        given = iter(chances)
        self.board = Scoreboard(lambda: self.clock, lambda: next(given, 0.99))
        self.bench.define(**definition)

    async def plan(
        self, user: str | None = "ann", session: str = "s", said: str = "Hi", **metadata: Any
    ) -> Plan:
        router = self.bench.routers.get(self.bench.routers.definitions()[0].kind, "r")
        caller = Caller(session, user, metadata)
        return await router.plan(self.bench, self.board, caller, [UserMessage((TextPart(said),))])


def when(condition: str, route: dict[str, Any]) -> dict[str, Any]:
    return {"condition": {"cel_expression": condition}, "route": route}


class TestRoutes:
    async def test_the_first_true_condition_decides(self) -> None:
        chooser = Chooser(
            routes=[
                when('tier == "premium"', to("a/one") | {"route_id": "premium"}),
                when('last_message.contains("refund")', to("b/two")),
            ],
            default_route=to("c/three"),
        )

        plans = [
            await chooser.plan(tier="premium", said="refund"),
            await chooser.plan(tier="free", said="a refund"),
            await chooser.plan(),
        ]

        assert [(plan.route, *plan.models) for plan in plans] == [
            ("premium", "a/one"),
            ("route-2", "b/two"),
            ("default", "c/three"),
        ]
        assert [plan.reason for plan in plans] == [
            "condition of route 1 is true",
            "condition of route 2 is true",
            "default route",
        ]

    async def test_a_route_without_a_condition_is_always_taken(self) -> None:
        chooser = Chooser(routes=[{"route": to("a/one")}, when("true", to("b/two"))])

        assert (await chooser.plan()).models == ("a/one",)

    async def test_without_a_default_route_nothing_may_match(self) -> None:
        chooser = Chooser(routes=[when("false", to("a/one"))])

        with pytest.raises(InvalidRequestError, match=r"No route matched\. Configure a default route"):
            await chooser.plan()


HALVES = {
    "variants": [
        {"variant": {"variant_id": "old", "model_id": "a/one"}, "weight": 80},
        {"variant": {"variant_id": "new", "model_id": "b/two"}, "weight": 20},
    ]
}


class TestVariants:
    async def test_weights_are_kept_over_many_users(self) -> None:
        chooser = Chooser(default_route=HALVES)

        chosen = Counter([(await chooser.plan(user=f"user {number}")).variant for number in range(2000)])

        assert chosen["new"] == pytest.approx(400, abs=70)  # four standard deviations
        assert chosen.total() == 2000

    async def test_a_user_always_gets_the_same_one_in_any_session_and_process(self) -> None:
        chooser = Chooser(default_route=HALVES)

        plans = [await chooser.plan(user="ann", session=f"s{number}") for number in range(50)]
        sessions = {(await chooser.plan(user=None, session="sess_17")).variant for _ in range(50)}

        assert {plan.variant for plan in plans} == {"old"}
        assert plans[0].reason == "default route, variant old by weight"
        assert len(sessions) == 1
        # Written down once, since another process, or another version, must choose the same.
        chosen = [(await chooser.plan(user=f"user {number}")).variant for number in range(4, 8)]
        assert chosen == ["new", "old", "new", "old"]

    async def test_without_anybody_to_stick_to_both_are_taken(self) -> None:
        chooser = Chooser(default_route=HALVES)

        assert len({(await chooser.plan(user=None, session="")).variant for _ in range(200)}) == 2

    async def test_a_weight_of_nothing_is_never_taken(self) -> None:
        route = copy.deepcopy(HALVES)
        route["variants"][0]["weight"], route["variants"][1]["weight"] = 0, 100
        chooser = Chooser(default_route=route)

        assert {(await chooser.plan(user=str(number))).variant for number in range(100)} == {"new"}


class TestModels:
    @pytest.mark.parametrize(
        ("route", "expected"),
        [
            (to("a/one"), ["a/one"]),
            (to("a/one", model_selection={"models": ["b/two", "a/one"]}), ["a/one", "b/two"]),
            (pool("b/two", "a/one"), ["b/two", "a/one"]),
            (to("auto"), ["c/three"]),
            (to("auto", model_selection={"models": ["b/two"]}), ["b/two"]),
            (to("gpt-4o"), ["openai/gpt-4o"]),
            (pool("a/one", "b/two", ignore=["a"]), ["b/two"]),
            (pool("a/one", "b/two", ignore=["b/two"]), ["a/one"]),
            (pool("a/one", "b/two", ignore=["two"]), ["a/one"]),
            (pool("a/one", "b/two", provider={"order": ["b"], "allow_fallbacks": False}), ["b/two"]),
            (pool("gpt-4o", provider={"order": ["a", "openai"]}), ["openai/gpt-4o"]),
            (pool("a/gone", "b/two"), ["b/two"]),
        ],
        ids=str,
    )
    async def test_what_a_variant_names(self, route: dict[str, Any], expected: list[str]) -> None:
        assert list((await Chooser(default_route=route).plan()).models) == expected

    async def test_a_bare_name_is_looked_for_at_the_providers_in_their_order(self) -> None:
        chooser = Chooser(
            default_route=pool("one", provider={"order": ["z", "y"], "allow_fallbacks": False}),
        )
        chooser.bench.engines |= {"y/one": None, "z/one": None}
        assert (await chooser.plan()).models == ("z/one", "y/one")

        chooser.bench.define(default_route=pool("one", provider={"order": ["z", "y"]}))
        assert (await chooser.plan()).models == ("z/one", "y/one", "a/one")

    async def test_ignoring_everything_leaves_nothing(self) -> None:
        with pytest.raises(InvalidRequestError, match="all of its models are ignored"):
            await Chooser(default_route=pool("a/one", ignore=["a"])).plan()


def by(metric: str, direction: str = "SORT_DIRECTION_UNSPECIFIED") -> dict[str, Any]:
    return {"metric": f"SORT_METRIC_{metric}", "direction": direction}


class TestSorting:
    async def test_by_price_with_unknown_ones_last(self) -> None:
        names = ("a/one", "openai/gpt-4o", "openai/gpt-4o-mini", "local/tiny", "b/two")
        prices = {"b/two": {"input": 0.01, "output": 0.01}}
        chooser = Chooser(default_route=pool(*names, sort=[by("PRICE")]), prices=prices)

        plan = await chooser.plan()

        assert plan.models == ("local/tiny", "b/two", "openai/gpt-4o-mini", "openai/gpt-4o", "a/one")
        assert plan.reason == "default route, sorted by price"

    async def test_the_dearest_first_when_that_is_wanted(self) -> None:
        chooser = Chooser(
            default_route=pool("a/one", "openai/gpt-4o-mini", "openai/gpt-4o", sort=[by("PRICE", "DESC")])
        )

        assert (await chooser.plan()).models == ("openai/gpt-4o", "openai/gpt-4o-mini", "a/one")

    async def test_a_model_of_its_own_leads_the_pool(self) -> None:
        selection = {"models": ["openai/gpt-4o", "openai/gpt-4o-mini"], "sort": [by("PRICE")]}
        chooser = Chooser(default_route=to("a/one", model_selection=selection))

        assert (await chooser.plan()).models == ("a/one", "openai/gpt-4o-mini", "openai/gpt-4o")

    async def test_by_latency_and_throughput_as_measured(self) -> None:
        chooser = Chooser(default_route=pool("a/one", "b/two", "c/three", sort=[by("LATENCY")]))
        assert (await chooser.plan()).models == ("a/one", "b/two", "c/three")

        chooser.board.measured("a/one", 0.9)
        chooser.board.measured("c/three", 0.3)
        chooser.board.wrote("a/one", 100, 1.0)
        chooser.board.wrote("b/two", 300, 1.0)
        assert (await chooser.plan()).models == ("c/three", "a/one", "b/two")

        chooser.bench.define(default_route=pool("a/one", "b/two", "c/three", sort=[by("THROUGHPUT")]))
        assert (await chooser.plan()).models == ("b/two", "a/one", "c/three")

    async def test_measurements_follow_what_happens_without_jumping(self) -> None:
        board = Scoreboard()
        board.measured("a", 1.0)
        for _ in range(5):
            board.measured("a", 2.0)

        assert board.latency("a") == pytest.approx(1.67, abs=0.01)
        assert (board.latency("b"), board.throughput("a")) == (None, None)

    async def test_a_share_of_requests_measures_what_is_not_known(self) -> None:
        chooser = Chooser(
            0.01, 0.6, 0.5, default_route=pool("a/one", "b/two", "c/three", sort=[by("LATENCY")])
        )
        chooser.board.measured("a/one", 0.9)

        first, second = await chooser.plan(), await chooser.plan()

        assert first.models == ("c/three", "a/one", "b/two")
        assert first.reason == "default route, to measure it"
        assert second.models[0] == "a/one"

    async def test_old_measurements_are_taken_again(self) -> None:
        chooser = Chooser(0.01, 0.0, 0.5, default_route=pool("a/one", "b/two", sort=[by("LATENCY")]))
        chooser.board.measured("b/two", 0.5)
        chooser.clock = STALE + 1
        chooser.board.measured("a/one", 0.9)
        assert (await chooser.plan()).reason == "default route, to measure it"
        assert (await chooser.plan()).models == ("b/two", "a/one")

    async def test_by_scores_of_the_definition_and_then_by_price(self) -> None:
        scores = {"INTELLIGENCE": {"openai/gpt-4o": 9, "openai/gpt-4o-mini": 9, "a/one": 5}}
        chooser = Chooser(
            default_route=pool(
                "a/one", "openai/gpt-4o", "openai/gpt-4o-mini", sort=[by("INTELLIGENCE"), by("PRICE")]
            ),
            scores=scores,
        )

        assert (await chooser.plan()).models == ("openai/gpt-4o-mini", "openai/gpt-4o", "a/one")


class TestDefinitions:
    @pytest.mark.parametrize(
        ("change", "field", "why"),
        [
            ({"default_route": None}, "", "needs routes, or a default route"),
            ({"default_route": {"variants": []}}, "default_route.variants", "at least 1"),
            ({"defaultRoute": {"route": {"variants": [{}]}}},
             "defaultRoute.route.variants[0].variant", "required"),
            ({"default_route": to("")}, "default_route.variants[0].variant.model_id", "at least 1"),
            ({"default_route": {"variants": [{"variant": {}}]}},
             "default_route.variants[0].variant", "model_id"),
            ({"default_route": to("a/b", modelSelection={"sort": [{"metric": "LUCK"}]})},
             "default_route.variants[0].variant.modelSelection.sort[0].metric", "input should be"),
            ({"default_route": pool("a/b", sort=[by("CODING")])}, "", "needs scores.CODING"),
            ({"scores": {"LUCK": {}}}, "scores", "INTELLIGENCE, MATH or CODING"),
            ({"routes": [when("tier ==", to("a/b"))]}, "routes[0].condition.cel_expression", "not a CEL"),
            ({"defaults": {"fallback": {"hedgeAfter": "1 min"}}}, "defaults.fallback.hedgeAfter", "duration"),
            ({"defaults": {"fallback": {"ttft_timeout": "299ms"}}}, "defaults.fallback.ttft_timeout", "0.3"),
            ({"defaults": {"text_generation_config": {"temperature": 3}}},
             "defaults.text_generation_config.temperature", "2"),
            ({"name": "routers/other"}, "name", "cannot be changed"),
            ({"routes": [{"route": to("a/b")}] * 33}, "routes", "at most 32"),
            ({"kind": "video"}, "kind", "'llm', 'stt' or 'tts'"),
        ],
        ids=str,
    )  # fmt: skip
    def test_what_is_wrong_is_named(self, change: dict[str, Any], field: str, why: str) -> None:
        data = {"default_route": to("a/b")} | change
        if "defaultRoute" in change:
            del data["default_route"]

        with pytest.raises(DefinitionError) as caught:
            parse_definition(data, name="r")

        assert caught.value.field == field
        assert why in caught.value.message

    @pytest.mark.parametrize(
        "weights", [(50, 40), (50, None), (100, 1), (0, 0)], ids=lambda weights: str(weights)
    )
    def test_weights_add_up_to_a_hundred(self, weights: tuple[float | None, ...]) -> None:
        variants = [{"variant": {"model_id": "a/b"}, "weight": weight} for weight in weights]

        with pytest.raises(DefinitionError, match="must add up to 100"):
            parse_definition({"default_route": {"variants": variants}}, name="r")

    @pytest.mark.parametrize("data", [None, 5, [], "x", {"routes": {}}, {"routes": [None]}, {"defaults": []}])
    def test_odd_shapes_are_refused(self, data: Any) -> None:
        with pytest.raises(DefinitionError):
            parse_definition(data, name="r")

    @pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "x" * 65, "ü", "a\n"])
    def test_names_are_plain(self, name: str) -> None:
        with pytest.raises(DefinitionError, match="name"):
            parse_definition({"default_route": to("a/b")}, name=name)

    def test_what_the_service_has_beyond_ours_is_kept(self) -> None:
        variant = {
            "model_id": "a/b",
            "web_search": {"engine": "exa"},
            "compression": {"aggressiveness": 0.5},
            "text_generation_config": {"seed": 1, "logit_bias": [{"token_id": "1", "bias_value": 2}]},
        }
        definition = parse_definition(
            {"default_route": {"variants": [{"variant": variant, "weight": 100}]}, "createTime": "2026"},
            name="r",
        )

        assert definition.variants()[0].web_search == {"engine": "exa"}
