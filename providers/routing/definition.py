"""A router as its author writes it: Inworld's resource, from TOML and from REST alike, checked as a whole."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from providers.routing.conditions import check_condition

__all__ = [
    "ID_PATTERN",
    "ConditionalRoute",
    "Defaults",
    "DefinitionError",
    "Fallback",
    "MessageTemplate",
    "ModelSelection",
    "Price",
    "Route",
    "RouterDefinition",
    "SortKey",
    "TextGeneration",
    "Variant",
    "WeightedVariant",
    "parse_definition",
]

ID_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?"
MIN_TTFT_SECONDS = 0.3  # as the service documents it: less would give up on healthy models
MAX_SECONDS = 120.0

Metric = Literal["PRICE", "LATENCY", "THROUGHPUT", "INTELLIGENCE", "MATH", "CODING"]
SCORES = frozenset({"INTELLIGENCE", "MATH", "CODING"})  # nobody measures them here: the author gives them

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Label = Annotated[str, StringConstraints(max_length=100)]
Template = Annotated[str, StringConstraints(max_length=32_000)]


class DefinitionError(ValueError):
    """A definition cannot be used. `field` is the dotted path of the first member at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


def _seconds(value: Any) -> Any:
    """Durations are text such as "800ms" or "1.5s"."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,9})?)(ms|s)", value.strip())
        if match is None:
            raise PydanticCustomError("duration", 'a duration is text such as "800ms" or "1.5s"')
        return float(match[1]) / (1000 if match[2] == "ms" else 1)
    raise PydanticCustomError("duration", 'a duration is text such as "800ms" or "1.5s"')


def _written(prefix: str) -> BeforeValidator:
    """Takes the name of an enumeration with its prefix or without, in any case."""

    def strip(value: Any) -> Any:
        return value.upper().removeprefix(prefix) if isinstance(value, str) else value

    return BeforeValidator(strip)


class _Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=False,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )


class SortKey(_Model):
    """One criterion by which a pool is put in order."""

    metric: Annotated[Metric, _written("SORT_METRIC_")]
    # Unset: whichever end is the better one.
    direction: Annotated[
        Literal["ASC", "DESC", "ASCENDING", "DESCENDING", "UNSPECIFIED"], _written("SORT_DIRECTION_")
    ] = "UNSPECIFIED"

    @property
    def descending(self) -> bool:
        if self.direction == "UNSPECIFIED":
            return self.metric not in ("PRICE", "LATENCY")
        return self.direction.startswith("DESC")


class ProviderOrder(_Model):
    """Which providers serve a model whose name has none."""

    order: tuple[Name, ...] = Field((), max_length=16)
    allow_fallbacks: bool = True  # whether providers that are not in `order` may serve as well


class ModelSelection(_Model):
    """Models beside `model_id`: with `sort` a pool, without it what to fall back on, in order."""

    models: tuple[Name, ...] = Field((), max_length=16)
    ignore: tuple[Name, ...] = Field((), max_length=32)  # models or whole providers
    sort: tuple[SortKey, ...] = Field((), max_length=4)
    provider: ProviderOrder = ProviderOrder()


class Reasoning(_Model):
    effort: str | None = Field(None, max_length=20)
    max_tokens: int | None = None  # kept, not used
    exclude: bool | None = None  # kept, not used: reasoning is never spoken


class TextGeneration(_Model):
    """How a language model is to write, where the request does not say."""

    max_tokens: int | None = Field(None, ge=1)
    max_new_tokens: int | None = Field(None, ge=1)  # the same, as sessions spell it
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, ge=0, le=1)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    stop_sequences: tuple[Name, ...] = Field((), max_length=16)
    reasoning: Reasoning = Reasoning()
    # Kept so that definitions can be moved here and back; no contract of ours carries them.
    repetition_penalty: float | None = None
    seed: int | None = None
    logit_bias: Any = None


class _ContentItem(_Model):
    text: Template = ""


class MessageTemplate(_Model):
    """A message put before those of the request; `{{name}}` is filled from the caller's metadata."""

    role: Annotated[
        Literal["system", "developer", "user", "assistant"],
        BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value),
    ]
    content: Template = ""
    content_items: tuple[_ContentItem, ...] = Field((), max_length=16)

    @property
    def text(self) -> str:
        return "\n".join(filter(None, (self.content, *(item.text for item in self.content_items))))


class Variant(_Model):
    """One way to serve a route: a model, or several, and how they are asked."""

    variant_id: Label = ""
    model_id: Name | None = None  # provider/model, a bare model, or "auto"
    model_selection: ModelSelection = ModelSelection()
    text_generation_config: TextGeneration | None = None  # replaces that of the defaults
    message_templates: tuple[MessageTemplate, ...] | None = Field(None, max_length=16)  # likewise
    voice: Name | None = None  # of a speech model; unset: the session's
    web_search: dict[str, Any] | None = None  # kept, not used
    compression: dict[str, Any] | None = None  # kept, not used

    @model_validator(mode="after")
    def _names_a_model(self) -> "Variant":
        if self.model_id is None and not self.model_selection.models:
            raise PydanticCustomError("no_model", "a variant needs model_id, or model_selection.models")
        return self


class WeightedVariant(_Model):
    variant: Variant
    weight: float | None = Field(None, ge=0, le=100)


def _weights(variants: tuple[WeightedVariant, ...]) -> tuple[WeightedVariant, ...]:
    given = [entry.weight for entry in variants if entry.weight is not None]
    if given and (len(given) < len(variants) or abs(sum(given) - 100) > 1e-6):
        raise PydanticCustomError("weights", "the weights of a route must add up to 100")
    return variants


class Route(_Model):
    route_id: Label = ""
    variants: Annotated[
        tuple[WeightedVariant, ...], Field(min_length=1, max_length=16), AfterValidator(_weights)
    ]


class Condition(_Model):
    cel_expression: Annotated[str, AfterValidator(check_condition)]


class ConditionalRoute(_Model):
    route: Route
    condition: Condition | None = None  # none is always true


class Fallback(_Model):
    """What is done about slow models. Times are seconds."""

    # After so long without a first piece the next model is asked. It does not apply to the last one.
    ttft_timeout: Annotated[float, BeforeValidator(_seconds), Field(ge=MIN_TTFT_SECONDS, le=MAX_SECONDS)] = (
        5.0
    )
    # After so long the next model is asked as well, and whichever speaks first is taken. Unset: never.
    hedge_after: Annotated[float | None, BeforeValidator(_seconds), Field(ge=0.05, le=MAX_SECONDS)] = None


class Defaults(_Model):
    """What holds for every variant that says nothing else."""

    message_templates: tuple[MessageTemplate, ...] = Field((), max_length=16)
    text_generation_config: TextGeneration | None = None
    fallback: Fallback = Fallback()
    optimize_prompt: Any = None  # kept, not used


class Price(_Model):
    """US dollars for a million tokens, or any other unit that all models of a pool share."""

    input: float = Field(0.0, ge=0)
    output: float = Field(0.0, ge=0)

    @property
    def blended(self) -> float:
        """One figure to compare by: conversations read about three times what they write."""
        return (3 * self.input + self.output) / 4


class RouterDefinition(_Model):
    """One router. Frozen, and equal where everything in it is."""

    name: Annotated[str, StringConstraints(pattern=rf"^(routers/)?{ID_PATTERN}$")] = ""
    display_name: Label = ""
    kind: Literal["llm", "stt", "tts"] = "llm"
    defaults: Defaults = Defaults()
    routes: tuple[ConditionalRoute, ...] = Field((), max_length=32)
    default_route: Route | None = None
    # By canonical name, for `sort`; they come before the built-in prices.
    prices: dict[Name, Price] = Field(default_factory=dict, max_length=200)
    scores: dict[Annotated[str, _written("SORT_METRIC_")], dict[Name, float]] = Field(
        default_factory=dict, max_length=3
    )
    # Of the server's own making; ignored where they come back.
    create_time: str | None = Field(None, max_length=40)
    update_time: str | None = Field(None, max_length=40)

    @field_validator("default_route", mode="before")
    @classmethod
    def _unwrap(cls, value: Any) -> Any:
        """Some write it as they write the entries of `routes`."""
        return value["route"] if isinstance(value, Mapping) and set(value) == {"route"} else value

    @field_validator("scores")
    @classmethod
    def _known_scores(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for metric, scores in value.items():
            if metric not in SCORES or len(scores) > 200:
                raise PydanticCustomError(
                    "scores", "scores are given by INTELLIGENCE, MATH or CODING, for 200 models at most"
                )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> "RouterDefinition":
        if not self.routes and self.default_route is None:
            raise PydanticCustomError("no_route", "a router needs routes, or a default route")
        for variant in self.variants():
            for key in variant.model_selection.sort:
                if key.metric in SCORES and key.metric not in self.scores:
                    raise PydanticCustomError(
                        "no_scores",
                        "a sort by {metric} needs scores.{metric}: this server has no scores of its own",
                        {"metric": key.metric},
                    )
        return self

    @property
    def id(self) -> str:
        return self.name.removeprefix("routers/")

    def all_routes(self) -> tuple[Route, ...]:
        """Every route, the default one last."""
        default = (self.default_route,) if self.default_route is not None else ()
        return (*(entry.route for entry in self.routes), *default)

    def variants(self) -> tuple[Variant, ...]:
        return tuple(entry.variant for route in self.all_routes() for entry in route.variants)


def parse_definition(data: Any, *, name: str | None = None) -> RouterDefinition:
    """A checked definition; `name` is the router's id where the data may leave it out or must agree.

    Raises `DefinitionError`. Compiles the conditions, a millisecond each: not for the event loop when many.
    """
    try:
        definition = RouterDefinition.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise DefinitionError(_as_written(first["loc"], data), _told(first["msg"])) from None
    if name is None and not definition.id:
        raise DefinitionError("name", 'missing, such as "routers/support"')
    if name is None:
        return definition
    if definition.id and definition.id != name:
        raise DefinitionError("name", f"'{definition.id}' is not '{name}', and names cannot be changed")
    if re.fullmatch(ID_PATTERN, name) is None:
        raise DefinitionError("name", "up to 64 letters, digits, and . _ - inside")
    return definition.model_copy(update={"name": f"routers/{name}"})


def _told(message: str) -> str:
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]


def _as_written(location: tuple[int | str, ...], data: Any) -> str:
    """The path of a fault with the names that the author used, snake case where nothing is there."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
            data = data[step] if isinstance(data, list | tuple) and step < len(data) else None
            continue
        snake = re.sub(r"(?<=[a-z])([A-Z])", lambda match: "_" + match[1].lower(), step)
        inside = isinstance(data, Mapping)
        written = step if inside and step in data else snake
        if inside and set(data) == {"route"} and written not in data:
            path, data = f"{path}.route", data["route"]  # a default route that is wrapped
        path += f".{written}" if path else written
        data = data.get(written) if isinstance(data, Mapping) else None
    return path[:200]
