"""What the MCP servers of a session offer, and which tools a response may use because of it.

    named in an update ──► listing ──► listed | failed        (once per server; naming it again asks nobody)

A response that begins while a list is on its way uses what is known by then.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from pipeline.commands import ListingFailed, ToolsListed
from pipeline.config import SessionConfig
from pipeline.core.state import State
from pipeline.effects import ListTools
from pipeline.errors import InvalidRequest
from pipeline.events import ItemAdded, ItemDone, McpListingProgress
from pipeline.items import McpListTools
from pipeline.tools import McpToolChoice, McpTools, Tool, WebSearch, safe_name
from providers.contracts import FunctionTool, NamedToolChoice, ToolChoice
from providers.tools.contracts import McpServer, RemoteTool

__all__ = ["Listings", "McpTarget", "Offer", "SearchTarget"]

SEARCH_NAME = "web_search"
_SEARCH = FunctionTool(
    SEARCH_NAME,
    "Search the web for current or unknown facts. Returns the best results with titles, addresses and texts.",
    {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "What to search for"}},
        "required": ["query"],
    },
)


@dataclass(frozen=True, slots=True)
class McpTarget:
    """A tool of an MCP server."""

    server: McpServer
    tool: RemoteTool
    needs_approval: bool


@dataclass(frozen=True, slots=True)
class SearchTarget:
    """A search of the web."""

    search: WebSearch


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of one response, as its model sees them."""

    tools: tuple[FunctionTool, ...]
    choice: ToolChoice
    targets: Mapping[
        str, McpTarget | SearchTarget
    ]  # those that the server runs, by the model's names of them

    def after_a_round(self, searches: int) -> "Offer":
        """What is offered once tools have answered: nothing is required, and no search beyond their limit."""
        spent = {
            name
            for name, target in self.targets.items()
            if isinstance(target, SearchTarget) and searches >= target.search.max_steps
        }
        tools = tuple(tool for tool in self.tools if tool.name not in spent)
        return replace(self, tools=tools, choice="none" if self.choice == "none" else "auto")

    def without_calls(self) -> "Offer":
        """Enough was called: the model has to answer. The tools stay, since the calls refer to them."""
        return replace(self, choice="none")


@dataclass(slots=True)
class _Known:
    server: McpServer
    item_id: str
    tools: tuple[RemoteTool, ...] = ()
    failed: bool = False


class Listings:
    def __init__(self, state: State) -> None:
        self._state = state
        self._known: dict[str, _Known] = {}  # by label

    def check(self, tools: Collection[Tool], root: str) -> None:
        """Raise `InvalidRequest` where one of these cannot be had on this server, or in this session."""
        state = self._state
        labels = {entry.label for entry in tools if isinstance(entry, McpTools)} | self._known.keys()
        if len(labels) > state.limits.max_mcp_servers:
            raise InvalidRequest(
                f"A session may name {state.limits.max_mcp_servers} MCP servers, and no more.",
                param=f"{root}.tools",
            )
        for index, entry in enumerate(tools):
            param = f"{root}.tools[{index}]"
            match entry:
                case McpTools(label, url):
                    if not state.server_tools.mcp:
                        raise InvalidRequest("This server runs no MCP tools.", param=param)
                    if url is None and label not in self._known:
                        raise InvalidRequest(
                            f"No MCP server '{label}' is known in this session; give its server_url.",
                            code="missing_required_parameter",
                            param=f"{param}.server_url",
                        )
                case WebSearch(engine):
                    if not (engines := state.server_tools.search_engines):
                        raise InvalidRequest(
                            "This server has no search endpoint: its setting tools.web_search names none.",
                            param=param,
                        )
                    if engine is not None and engine not in engines:
                        raise InvalidRequest(
                            f"There is no search endpoint '{engine}' on this server. "
                            f"Supported values are: {', '.join(map(repr, engines))}.",
                            param=f"{param}.providerData.engine",
                        )

    def configure(self, tools: Collection[Tool]) -> None:
        """Ask the servers among these that were not asked yet, or are elsewhere now, what they offer.

        One that failed is asked again once its entry has changed, or was away.
        """
        named = {entry.label for entry in tools if isinstance(entry, McpTools)}
        self._known = {
            label: known for label, known in self._known.items() if label in named or not known.failed
        }
        for entry in tools:
            if not isinstance(entry, McpTools):
                continue
            known = self._known.get(entry.label)
            if entry.url is None:
                continue
            server = McpServer(entry.label, entry.url, entry.headers)
            if known is not None and known.server.url == server.url and not known.failed:
                known.server = server  # perhaps with fresh credentials
            elif known is None or known.server != server:
                self._list(server)

    def _list(self, server: McpServer) -> None:
        state = self._state
        item = McpListTools(state.new_id("item"), server.label)
        self._known[server.label] = _Known(server, item.id)
        state.emit(ItemAdded(item, state.conversation.insert(item)))
        state.emit(McpListingProgress(item.id, "in_progress"))
        state.do(ListTools(item.id, server))

    def listed(self, fact: ToolsListed) -> None:
        if known := self._asked(fact.item_id):
            known.tools = fact.tools
            self._done(McpListTools(fact.item_id, known.server.label, fact.tools), "completed")

    def failed(self, fact: ListingFailed) -> None:
        if known := self._asked(fact.item_id):
            known.failed = True
            self._done(McpListTools(fact.item_id, known.server.label, (), fact.message), "failed")

    def _asked(self, item_id: str) -> _Known | None:
        return next((known for known in self._known.values() if known.item_id == item_id), None)

    def _done(self, item: McpListTools, stage: str) -> None:
        state = self._state
        if item.id in state.conversation:  # a client may have deleted it
            state.conversation.put(item)
            state.emit(ItemDone(item, state.conversation.previous_id(item.id)))
        state.emit(McpListingProgress(item.id, "completed" if stage == "completed" else "failed"))

    def target(self, label: str, name: str) -> McpTarget | None:
        """The tool of that name, for a call that needs no approval any more; None for an unknown server."""
        if (known := self._known.get(label)) is None:
            return None
        tool = next((tool for tool in known.tools if tool.name == name), RemoteTool(name))
        return McpTarget(known.server, tool, needs_approval=False)

    # --- what a response may use ----------------------------------------------------------------------

    def offer(self, config: SessionConfig) -> Offer:
        """The tools of a response with that configuration, as far as they are known."""
        tools = [entry for entry in config.tools if isinstance(entry, FunctionTool)]
        targets: dict[str, McpTarget | SearchTarget] = {}
        taken = {tool.name for tool in tools}
        for entry in config.tools:
            match entry:
                case McpTools(label) if label in self._known:
                    known = self._known[label]
                    for tool in filter(entry.allows, known.tools):
                        name = _free_name(taken, safe_name(tool.name), safe_name(f"{label}__{tool.name}"))
                        targets[name] = McpTarget(known.server, tool, entry.needs_approval(tool))
                        tools.append(FunctionTool(name, tool.description, tool.input_schema or None))
                case WebSearch() if self._state.server_tools.search_engines:
                    name = _free_name(taken, SEARCH_NAME)
                    targets[name] = SearchTarget(entry)
                    tools.append(replace(_SEARCH, name=name))
        offer = Offer(tuple(tools), "auto", targets)
        return _choose(offer, config.tool_choice)


def _choose(offer: Offer, choice: ToolChoice | McpToolChoice) -> Offer:
    if not isinstance(choice, McpToolChoice):
        return replace(offer, choice=choice)
    wanted = {
        name
        for name, target in offer.targets.items()
        if isinstance(target, McpTarget)
        and target.server.label == choice.label
        and choice.name in (None, target.tool.name)
    }
    if not wanted:
        return offer  # its list is not there yet, so nothing of it can be required
    if choice.name is not None:
        return replace(offer, choice=NamedToolChoice(wanted.pop()))
    return replace(offer, tools=tuple(t for t in offer.tools if t.name in wanted), choice="required")


def _free_name(taken: set[str], *wishes: str) -> str:
    """The first of these names that no other tool has; the last one gets a number where all are taken."""
    for wish in wishes:
        if wish not in taken:
            taken.add(wish)
            return wish
    number = 2
    while (name := f"{wishes[-1][:60]}_{number}") in taken:
        number += 1
    taken.add(name)
    return name
