"""Client events: JSON text in, commands of the pipeline out. Dialects are read as the GA one.

Nothing here raises for what a client sends: an event that cannot be understood becomes a `Refuse` command,
which keeps its place in the order of answers.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import Field

from pipeline.commands import (
    CancelResponse,
    ClearAudio,
    ClientCommand,
    CommitAudio,
    CreateItem,
    CreateResponse,
    DeleteItem,
    Refuse,
    ResponseParams,
    RetrieveItem,
    TruncateItem,
    UpdateSession,
)
from pipeline.config import SessionType
from pipeline.errors import InvalidRequest
from pipeline.items import ItemReference
from server.protocol.audio_models import AudioOutput, Voice
from server.protocol.dialects import GA, Dialect
from server.protocol.item_models import AnyItem, InputEntry, decode_audio, item_value
from server.protocol.profiles import PARLEY, Profile
from server.protocol.session_models import (
    Metadata,
    Modalities,
    ResponseConfig,
    read_session,
    session_patch,
)
from server.protocol.tool_models import McpConfig
from server.protocol.validation import Model, WireModel, check_depth, missing, unknown_members, validate

__all__ = ["AppendAudio", "Decoder"]

log = logging.getLogger(__name__)

_MAX_EVENT_ID = 512
_MAX_IGNORED_NAMES = 64  # remembered per connection, so that a client cannot fill the log
_APPEND = "input_audio_buffer.append"


@dataclass(frozen=True, slots=True)
class AppendAudio:
    """The one client event that carries data instead of an order; it goes past the engine to the buffer."""

    data: bytes = field(repr=False)  # in the session's input format, which is not known here
    event_id: str | None = None


class _Order(WireModel):
    """Any client event; those without further members are no more than this."""

    type: str
    event_id: str | None = None


class _Append(_Order):
    audio: Any


class _CreateItem(_Order):
    item: AnyItem
    previous_item_id: str | None = Field(None, max_length=512)


class _ItemId(_Order):
    item_id: str


class _Truncate(_Order):
    item_id: str
    content_index: int = Field(ge=0)
    audio_end_ms: int = Field(ge=0)


class _Cancel(_Order):
    response_id: str | None = None


class _ResponseAudioOutput(AudioOutput):
    beyond_openai: ClassVar = AudioOutput.beyond_openai | {"speed"}


class _ResponseAudio(WireModel):
    output: _ResponseAudioOutput | None = None


class _ResponseParams(ResponseConfig):
    beyond_openai: ClassVar = ResponseConfig.beyond_openai | {"voice", "modalities"}

    conversation: Literal["auto", "none"] | None = None
    input: Annotated[list[InputEntry], Field(max_length=1000)] | None = None
    audio: _ResponseAudio | None = None
    metadata: Metadata | None = None
    # Older spellings, accepted beside the current ones.
    voice: Voice | None = None
    modalities: Modalities = None


class _CreateResponse(_Order):
    response: _ResponseParams | None = None


_OUTSIDE_PATCH = frozenset({"conversation", "input", "metadata", "voice", "modalities"})


class Decoder:
    """Understands the events of one connection."""

    def __init__(
        self,
        *,
        max_append_bytes: int,
        max_item_bytes: int,
        profile: Profile = PARLEY,
        dialect: Dialect = GA,
        session_type: SessionType = "realtime",
        on_ignored: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._max_append_bytes = max_append_bytes
        self._max_item_bytes = max_item_bytes
        self._profile = profile
        self._dialect = dialect
        self._session_type = session_type
        self._on_ignored = on_ignored  # told the dotted path of each ignored member, once per connection
        self._ignored: set[str] = set()
        self._orders: dict[str, Callable[[dict[str, Any], str | None], ClientCommand]] = {
            "session.update": self._session_update,
            "input_audio_buffer.commit": lambda data, id: self._bare(data, CommitAudio(id)),
            "input_audio_buffer.clear": lambda data, id: self._bare(data, ClearAudio(id)),
            "conversation.item.create": self._create_item,
            "conversation.item.retrieve": lambda data, id: RetrieveItem(
                self._read(_ItemId, data).item_id, id
            ),
            "conversation.item.delete": lambda data, id: DeleteItem(self._read(_ItemId, data).item_id, id),
            "conversation.item.truncate": self._truncate,
        }
        if session_type == "realtime":
            self._orders["response.create"] = self._create_response
            self._orders["response.cancel"] = lambda data, id: CancelResponse(
                self._read(_Cancel, data).response_id, id
            )

    def decode(self, text: str) -> ClientCommand | AppendAudio:
        """One text frame."""
        try:
            data = orjson.loads(text)
        except orjson.JSONDecodeError:
            error = InvalidRequest(
                "The event could not be parsed: it is not valid JSON.", code="invalid_json"
            )
            return Refuse(error)
        if not isinstance(data, dict):
            return Refuse(InvalidRequest("An event must be a JSON object.", code="invalid_event"))
        event_id = data.get("event_id")
        if event_id is not None and (not isinstance(event_id, str) or len(event_id) > _MAX_EVENT_ID):
            error = InvalidRequest(
                f"Invalid 'event_id': expected a string of at most {_MAX_EVENT_ID} characters.",
                code="string_above_max_length" if isinstance(event_id, str) else "invalid_type",
                param="event_id",
            )
            return Refuse(error)
        data = self._dialect.read(data)
        try:
            if data.get("type") == _APPEND:
                return self._append(data, event_id)
            return self._order(data, event_id)
        except InvalidRequest as error:
            return Refuse(error, event_id)

    def refuse_binary(self) -> Refuse:
        """The answer to a binary frame."""
        return Refuse(
            InvalidRequest(
                "Events are JSON in text frames; binary frames are not understood.", code="invalid_event"
            )
        )

    def _append(self, data: dict[str, Any], event_id: str | None) -> AppendAudio:
        if "audio" not in data:
            raise missing("audio")
        if self._profile.strict and len(data) > 2 + ("event_id" in data):
            self._read(_Append, data)
        return AppendAudio(decode_audio(data["audio"], "audio", self._max_append_bytes), event_id)

    def _order(self, data: dict[str, Any], event_id: str | None) -> ClientCommand:
        kind = data.get("type")
        if kind is None:
            raise InvalidRequest("Missing required parameter: 'type'.", code="invalid_event", param="type")
        if not isinstance(kind, str):
            raise InvalidRequest(
                "Invalid type for 'type': expected a string.", code="invalid_type", param="type"
            )
        order = self._orders.get(kind)
        if order is None:
            known = [*self._orders, _APPEND, *self._dialect.own_types]
            supported = ", ".join(f"'{name}'" for name in sorted(known))
            raise InvalidRequest(
                f"Invalid value: '{kind[:100]}'. Supported values are: {supported}.", param="type"
            )
        if not check_depth(data):
            raise InvalidRequest("The event is nested too deeply.", code="invalid_event")
        return order(data, event_id)

    def _session_update(self, data: dict[str, Any], event_id: str | None) -> ClientCommand:
        if "session" not in data:
            raise missing("session")
        update = read_session(data["session"], self._session_type, self._profile)
        if isinstance(update, ResponseConfig):
            self._check_tools(update, "session")
        self._note_ignored(update, "session.")
        self._check_bare({name: value for name, value in data.items() if name != "session"})
        return UpdateSession(session_patch(update), event_id)

    def _create_item(self, data: dict[str, Any], event_id: str | None) -> ClientCommand:
        event = self._read(_CreateItem, data)
        item = item_value(event.item, "item", self._max_item_bytes, self._profile)
        assert not isinstance(item, ItemReference)
        return CreateItem(item, event.previous_item_id, event_id)

    def _truncate(self, data: dict[str, Any], event_id: str | None) -> ClientCommand:
        event = self._read(_Truncate, data)
        return TruncateItem(event.item_id, event.content_index, event.audio_end_ms, event_id)

    def _create_response(self, data: dict[str, Any], event_id: str | None) -> ClientCommand:
        given = self._read(_CreateResponse, data).response
        if given is None:
            return CreateResponse(event_id=event_id)
        self._check_tools(given, "response")
        entries = None
        if given.input is not None:
            entries = tuple(
                item_value(entry, f"response.input[{index}]", self._max_item_bytes, self._profile)
                for index, entry in enumerate(given.input)
            )
        patch = session_patch(given)
        overrides = {name: value for name, value in patch.items() if name not in _OUTSIDE_PATCH}
        if "voice" in patch:
            audio = dict(overrides.get("audio", {}))
            audio["output"] = {"voice": patch["voice"], **audio.get("output", {})}
            overrides["audio"] = audio
        if given.modalities is not None:
            overrides.setdefault("output_modalities", tuple(dict.fromkeys(given.modalities)))
        params = ResponseParams(
            overrides=overrides,
            in_conversation=given.conversation != "none",
            input=entries,
            metadata=given.metadata,
        )
        return CreateResponse(params, event_id)

    def _check_tools(self, given: ResponseConfig, root: str) -> None:
        """Refuse tools whose events could not be told."""
        for index, tool in enumerate(given.tools or ()):
            if isinstance(tool, McpConfig) and not self._dialect.has_mcp:
                raise InvalidRequest(
                    "Invalid value: 'mcp'. Supported values are: 'function'. The beta dialect has no events "
                    "for the tools of MCP servers.",
                    param=f"{root}.tools[{index}].type",
                )

    def _bare(self, data: dict[str, Any], command: ClientCommand) -> ClientCommand:
        self._check_bare(data)
        return command

    def _check_bare(self, data: dict[str, Any]) -> None:
        """Look for members in an event that has none of its own."""
        if len(data) > 1 + ("event_id" in data):
            self._read(_Order, data)

    def _read(self, model: type[Model], data: dict[str, Any]) -> Model:
        event = validate(model, data, self._profile)
        self._note_ignored(event)
        return event

    def _note_ignored(self, event: WireModel, root: str = "") -> None:
        """Say once per connection what is ignored, so that a typo does not go unnoticed."""
        for path in unknown_members(event):
            path = (root + path)[:200]
            if path not in self._ignored and len(self._ignored) < _MAX_IGNORED_NAMES:
                self._ignored.add(path)
                log.warning("ignoring the unknown member '%s'", path)
                self._on_ignored(path)
