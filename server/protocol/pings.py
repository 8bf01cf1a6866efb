"""The event `ping`, which Inworld's protocol has beside OpenAI's."""

from pipeline.ids import new_id

__all__ = ["PING_EVERY_S", "ping_frame"]

# Proxies and load balancers drop connections that carry nothing, the strictest after 30 s; half of that
# leaves room for one that is left out. The pings of WebSocket itself do not count for proxies that see data.
PING_EVERY_S = 15.0


def ping_frame(unix_ms: int) -> str:
    """One of them as a text frame: `timestamp` is unix time in milliseconds. Nothing is due in return."""
    return f'{{"type":"ping","event_id":"{new_id("event")}","timestamp":{unix_ms}}}'
