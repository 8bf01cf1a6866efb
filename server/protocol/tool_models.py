"""Tools and tool choices as clients send them, their translation to values of the pipeline, and back."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from pipeline.tools import MCP_APPROVAL_DEFAULT, McpToolChoice, McpTools, Tool, ToolFilter, WebSearch
from providers.contracts import FunctionTool, NamedToolChoice, ToolChoice
from providers.tools.headers import HEADER_NAME, HEADER_VALUE, MAX_HEADERS
from server.protocol.audio_models import WORD_OR_OBJECT, bad_value
from server.protocol.profiles import is_strict
from server.protocol.validation import WireModel

__all__ = ["AnyTool", "McpConfig", "ToolChoiceConfig", "choice_json", "choice_value", "distinct", "tool_json"]

_MAX_NAMES = 128  # in a filter

_Name = Annotated[str, Field(min_length=1, max_length=256)]
_Label = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_.-]+$")]
_HeaderName = Annotated[str, Field(min_length=1, max_length=128, pattern=f"^{HEADER_NAME}$")]
_HeaderValue = Annotated[str, Field(max_length=8192, pattern=f"^{HEADER_VALUE}$")]


class FunctionConfig(WireModel):
    wanted_by_openai: ClassVar = frozenset({"type"})

    type: Literal["function"] = "function"
    # What language models accept; refused here, or the response would fail much later.
    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-zA-Z0-9_-]+$")
    description: str | None = None
    parameters: dict[str, Any] | None = None

    @property
    def key(self) -> str:
        """What no two tools may have in common."""
        return f"name '{self.name}'"

    def value(self) -> FunctionTool:
        """As the session knows it."""
        return FunctionTool(self.name, self.description, self.parameters)


class FilterConfig(WireModel):
    tool_names: Annotated[list[_Name], Field(max_length=_MAX_NAMES)] | None = None
    read_only: bool | None = None

    def value(self) -> ToolFilter:
        """As the session knows it."""
        return ToolFilter(None if self.tool_names is None else tuple(self.tool_names), self.read_only)


class ApprovalConfig(WireModel):
    always: FilterConfig | None = None
    never: FilterConfig | None = None


_LIST_OR_OBJECT = Discriminator(
    lambda value: "object" if isinstance(value, dict | WireModel) else "list"  # as with words and objects
)


class McpConfig(WireModel):
    type: Literal["mcp"]
    server_label: _Label
    server_url: str | None = Field(None, min_length=1, max_length=2048)
    connector_id: str | None = Field(None, max_length=256)
    tunnel_id: str | None = Field(None, max_length=256)
    authorization: _HeaderValue | None = None
    headers: Annotated[dict[_HeaderName, _HeaderValue], Field(max_length=MAX_HEADERS)] | None = None
    allowed_tools: (
        Annotated[
            Annotated[list[_Name], Field(max_length=_MAX_NAMES), Tag("list")]
            | Annotated[FilterConfig, Tag("object")],
            _LIST_OR_OBJECT,
        ]
        | None
    ) = None
    require_approval: (
        Annotated[
            Annotated[Literal["always", "never"], Tag("word")] | Annotated[ApprovalConfig, Tag("object")],
            WORD_OR_OBJECT,
        ]
        | None
    ) = None
    server_description: str | None = Field(None, max_length=4096)
    allowed_callers: list[Literal["direct", "programmatic"]] | None = None
    defer_loading: bool | None = None

    @field_validator("connector_id", "tunnel_id")
    @classmethod
    def _nowhere_to_go(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None:
            raise PydanticCustomError(
                "value_error",
                "this server has no connectors and no tunnels; give the server_url of the MCP server",
            )
        return value

    @field_validator("server_url")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is not None and not value.lower().startswith(("http://", "https://")):
            raise PydanticCustomError("value_error", "expected an address that begins with https://")
        if value is not None and "@" in value.split("/")[2]:
            raise PydanticCustomError("value_error", "credentials belong into authorization or headers")
        return value

    @field_validator("headers")
    @classmethod
    def _one_authorization(cls, value: dict[str, str] | None, info: ValidationInfo) -> dict[str, str] | None:
        named = {name.lower() for name in value or ()}
        if "authorization" in named and info.data.get("authorization") is not None:
            raise PydanticCustomError(
                "value_error", "give either authorization or an Authorization header, not both"
            )
        return value

    @property
    def key(self) -> str:
        """What no two tools may have in common."""
        return f"server_label '{self.server_label}'"

    def value(self) -> McpTools:
        """As the session knows it."""
        headers = dict(self.headers or {})
        if self.authorization is not None:
            headers["Authorization"] = f"Bearer {self.authorization.removeprefix('Bearer ')}"
        allowed = self.allowed_tools
        if isinstance(allowed, list):
            allowed = FilterConfig(tool_names=allowed)
        always, never = _approval(self.require_approval)
        return McpTools(
            self.server_label,
            self.server_url,
            headers,
            None if allowed is None else allowed.value(),
            always,
            never,
            self._shown(),
        )

    def _shown(self) -> dict[str, Any]:
        """Without credentials, which may also be in the query of the address, or in members unknown to us."""
        known = set(type(self).model_fields) - {"authorization", "headers"}
        shown = self.model_dump(include=known, exclude_unset=True)
        if self.server_url is not None:
            shown["server_url"] = self.server_url.partition("?")[0]
        return shown


def _approval(given: str | ApprovalConfig | None) -> tuple[ToolFilter | None, ToolFilter | None]:
    """Which tools always wait for approval, and which never do."""
    match given:
        case "never":
            return None, None
        case ApprovalConfig():
            # Naming those that need none leaves the rest guarded; naming those that do frees the rest.
            never = None if given.never is None else given.never.value()
            always = MCP_APPROVAL_DEFAULT if given.always is None else given.always.value()
            return always, never
        case _:
            return MCP_APPROVAL_DEFAULT, None


class SearchOptions(WireModel):
    engine: str | None = Field(None, min_length=1, max_length=64)
    max_results: int = Field(3, ge=1, le=20)
    max_steps: int = Field(1, ge=1, le=10)


class SearchConfig(WireModel):
    """Inworld's entry for searches of the web."""

    type: Literal["web_search"]
    providerData: SearchOptions | None = None  # noqa: N815 - as Inworld spells it

    @field_validator("type")
    @classmethod
    def _not_openai(cls, type: Literal["web_search"], info: ValidationInfo) -> Literal["web_search"]:
        if is_strict(info.context):
            raise bad_value(type, ["function", "mcp"])
        return type

    @property
    def key(self) -> str:
        """What no two tools may have in common."""
        return "type 'web_search'"

    def value(self) -> WebSearch:
        """As the session knows it."""
        options = self.providerData or SearchOptions()
        return WebSearch(
            options.engine,
            options.max_results,
            options.max_steps,
            self.model_dump(exclude_unset=True),
        )


def _tool_type(value: Any) -> str:
    """Functions need not say what they are."""
    given = (
        value.get("type", "function") if isinstance(value, Mapping) else getattr(value, "type", "function")
    )
    return given if isinstance(given, str) else "function"


AnyTool = Annotated[
    Annotated[FunctionConfig, Tag("function")]
    | Annotated[McpConfig, Tag("mcp")]
    | Annotated[SearchConfig, Tag("web_search")],
    Discriminator(_tool_type),
]


def distinct(tools: list[Any] | None) -> list[Any] | None:
    """The tools themselves, unless two of them could not be told apart."""
    seen: set[str] = set()
    for tool in tools or ():
        if tool.key in seen:
            raise PydanticCustomError("value_error", "two tools have the {key}", {"key": tool.key})
        seen.add(tool.key)
    return tools


def tool_json(tool: Tool) -> dict[str, Any]:
    """The tool as the session object shows it: credentials never are."""
    if isinstance(tool, McpTools | WebSearch):
        return dict(tool.shown)
    json: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        json["description"] = tool.description
    if tool.parameters is not None:
        json["parameters"] = tool.parameters
    return json


# --- Choices -----------------------------------------------------------------------------------------


class FunctionChoice(WireModel):
    type: Literal["function"]
    name: str = Field(min_length=1, max_length=64)


class McpChoice(WireModel):
    type: Literal["mcp"]
    server_label: _Label
    name: _Name | None = None


_NamedChoice = Annotated[FunctionChoice | McpChoice, Field(discriminator="type")]
ToolChoiceConfig = Annotated[
    Annotated[Literal["auto", "none", "required"], Tag("word")] | Annotated[_NamedChoice, Tag("object")],
    WORD_OR_OBJECT,
]


def choice_value(choice: str | FunctionChoice | McpChoice) -> Any:
    """The choice as the session knows it."""
    match choice:
        case FunctionChoice():
            return NamedToolChoice(choice.name)
        case McpChoice():
            return McpToolChoice(choice.server_label, choice.name)
        case _:
            return choice


def choice_json(choice: ToolChoice | McpToolChoice) -> Any:
    """The choice as the session object shows it."""
    match choice:
        case NamedToolChoice(name):
            return {"type": "function", "name": name}
        case McpToolChoice(label, name):
            json = {"type": "mcp", "server_label": label}
            return json if name is None else json | {"name": name}
        case _:
            return choice
