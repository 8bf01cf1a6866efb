"""The toolbox that the settings describe."""

from collections.abc import Mapping

from providers.tools.limits import ToolLimits
from providers.tools.search import SearchApi
from providers.tools.toolbox import ConfiguredToolbox
from server.settings import ToolSettings, WebSearchTable

__all__ = ["SearchKeyError", "make_toolbox"]


class SearchKeyError(Exception):
    """The key of a search engine is not there. The message says what to do."""


def make_toolbox(settings: ToolSettings, environ: Mapping[str, str]) -> ConfiguredToolbox:
    """What all sessions share, and whoever calls this closes. Raises `SearchKeyError`.

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
        _key(name, table, environ),
        table.results,
        table.title,
        table.link,
        table.text,
        table.timeout,
    )


def _key(name: str, table: WebSearchTable, environ: Mapping[str, str]) -> str | None:
    if table.api_key is not None:
        if table.api_key_env is not None:
            raise SearchKeyError(f"tools.web_search.{name}: set either api_key_env or api_key, not both")
        return table.api_key.get_secret_value()
    if table.api_key_env is None:
        return None
    if not environ.get(table.api_key_env):
        raise SearchKeyError(
            f"tools.web_search.{name}.api_key_env names {table.api_key_env}, which is not set: export it, or"
            " remove api_key_env when that engine needs no key"
        )
    return environ[table.api_key_env]
