"""How fakes send the answers of scripts over HTTP."""

import asyncio

from aiohttp import web

from tests.fakes.openai_replies import HANG, Reply, Until, Wait

__all__ = ["send_reply"]


async def send_reply(http: web.Request, reply: Reply, closing: asyncio.Event) -> web.StreamResponse:
    """Send an answer with all that happens to it; `closing` lets those go that hang for ever."""
    await asyncio.sleep(reply.delay_s)
    response = web.StreamResponse(status=reply.status, headers=dict(reply.headers))
    response.content_type = reply.content_type
    await response.prepare(http)
    for step in reply.steps:
        match step:
            case bytes():
                await response.write(step)
                await asyncio.sleep(0)
            case Wait():
                await asyncio.sleep(step.seconds)
            case Until():
                await step.event.wait()
            case _:
                if step is HANG:
                    await closing.wait()
                if http.transport is not None:
                    http.transport.abort()
                return response
    await response.write_eof()
    return response
