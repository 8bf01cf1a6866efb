"""The toolbox that the settings describe."""

from collections.abc import Mapping

from providers.tools.limits import ToolLimits
from providers.tools.search import SearchApi
from providers.tools.toolbox import ConfiguredToolbox
from server.settings import ToolSettings, WebSearchTable
from server.table_keys import key_in

__all__ = ["make_toolbox"]


def make_toolbox(settings: ToolSettings, environ: Mapping[str, str]) -> ConfiguredToolbox:
    """What all sessions share, and whoever calls this closes. Raises `TableKeyError`.

    `environ` is where the keys of search engines are looked up.
    """
    return ConfiguredToolbox(
        mcp=settings.mcp,
        allowed_hosts=settings.allowed_hosts,
        search=[_search_api(name, table, environ) for name, table in settings.web_search.items()],
        limits=ToolLimits(
            connect_timeout=settings.connect_timeout,
            call_timeout=settings.call_timeout,
            max_tools=settings.max_tools,
            max_schema_bytes=settings.max_schema_bytes,
            max_result_chars=settings.max_result_chars,
            max_response_bytes=settings.max_response_bytes,
        ),
    )


def _search_api(name: str, table: WebSearchTable, environ: Mapping[str, str]) -> SearchApi:
    return SearchApi(
        name,
        table.url,
        table.method,
        table.params,
        table.headers,
        table.body,
        key_in(f"tools.web_search.{name}", table.api_key, table.api_key_env, environ, what="engine"),
        table.results,
        table.title,
        table.link,
        table.text,
        table.timeout,
    )
