"""A WebSocket server without a service: it sends back what it hears."""

from aiohttp import web

from tests.fakes.websocket import FakeSockets, Line

__all__ = ["Echo"]


class Echo(FakeSockets):
    """At `/talk`; a text that is no JSON comes back like any other."""

    def routes(self) -> list[web.RouteDef]:
        return [self.socket("/talk", self._talk)]

    def protocols(self) -> tuple[str, ...]:
        return ("chat",)

    async def _talk(self, line: Line) -> None:
        while (message := await line.receive()) is not None:
            await line.send(message)
