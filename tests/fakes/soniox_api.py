"""A fake of Soniox's real-time transcription over WebSocket.

    async with FakeSoniox() as fake:
        fake.script(Plan(None, Cut(heard=3, code=1011)))    # the next connection dies
        ... use fake.base_url and fake.api_key, and audio from `hearing.say` ...
        (await fake.exchange(0)).texts[0]                   # the configuration

A plan's reply is None to hear what `say` has hidden in the audio, a tuple of sentences to hear these in any
audio, or a code of an error that comes with the first tokens. It refuses what the service refuses: a key that
is missing, wrong, or in the configuration as well, audio before the configuration, unknown models and fields,
and it closes a connection on which nothing happens.
"""

from typing import Any

from aiohttp import web

from tests.fakes.hearing import STOPS, Ear, Word, in_pieces
from tests.fakes.websocket import FakeSockets, Line, Message, Refusal

__all__ = ["FakeSoniox"]

MODELS = ("stt-rt-v4", "stt-rt-v5")
SURE_AFTER_S = 0.5  # so long a word may still change
SHORT_PAUSE_S = 0.3  # that ends a turn which sounds finished

_FIELDS = {
    *("model", "audio_format", "sample_rate", "num_channels", "language_hints", "language_hints_strict"),
    *("context", "enable_speaker_diarization", "enable_language_identification", "translation"),
    *("enable_endpoint_detection", "max_endpoint_delay_ms", "endpoint_sensitivity"),
    *("endpoint_latency_adjustment_level", "client_reference_id", "api_key"),
}
MESSAGES = {
    400: "Invalid request.",
    401: "Invalid API key.",
    402: "Organization balance exhausted.",
    408: "Request timeout.",
    429: "Too many requests.",
    500: "Internal server error.",
    503: "Cannot continue request (code 4). Please restart the request.",
}


class FakeSoniox(FakeSockets):
    """`refuses_late`: a wrong key is told after the handshake. `idle_s`: how long a client may be silent.

    `marks_silence`: whether `finalize` without speech is answered; the service may do either.
    """

    refuses_late = False
    marks_silence = True
    idle_s = 20.0
    language = "en"

    def routes(self) -> list[web.RouteDef]:
        return [self.socket("/transcribe-websocket", self._listen)]

    def refusal(self, http: web.Request) -> Refusal | None:
        known = http.headers.get("Authorization", "") == f"Bearer {self.api_key}"
        return None if known or self.refuses_late else Refusal(401, "Unauthorized")

    async def _listen(self, line: Line) -> None:
        try:
            message = await line.receive(self.idle_s)
            if message is None:
                return
            if line.exchange.headers.get("authorization") != f"Bearer {self.api_key}":
                await fail(line, 401)
            if (problem := config_problem(message)) is not None:
                await fail(line, 400, problem)
            assert isinstance(message, dict)
            await _Session(self, line, message).serve()
        except TimeoutError:
            await fail(line, 408)


async def fail(line: Line, code: int, message: str | None = None) -> None:
    """Say what is wrong, and close."""
    await line.send({"tokens": [], "error_code": code, "error_message": message or MESSAGES[code]})
    await line.close(1000)


def config_problem(message: Message) -> str | None:
    """What is wrong with the first message, if anything is."""
    if not isinstance(message, dict):
        return "Start request is missing."
    if "api_key" in message:
        return "API key must be sent either in the header or in the start request."
    if unknown := set(message) - _FIELDS:
        return f"Unknown fields: {', '.join(sorted(unknown))}."
    if message.get("model") not in MODELS:
        return "Invalid model specified."
    if message.get("audio_format") != "pcm_s16le" or not message.get("sample_rate"):
        return "This fake hears pcm_s16le only, and wants its rate."
    if "endpoint_sensitivity" in message and message["model"] == "stt-rt-v4":
        return "endpoint_sensitivity is not supported by this model."
    if not 500 <= message.get("max_endpoint_delay_ms", 2000) <= 3000:
        return "max_endpoint_delay_ms must be between 500 and 3000."
    if any(len(hint) != 2 for hint in message.get("language_hints", ())):
        return "Invalid language hint."
    return None


class _Session:
    """One connection after its configuration."""

    def __init__(self, fake: FakeSoniox, line: Line, config: dict[str, Any]) -> None:
        self.fake, self.line, self.config = fake, line, config
        self.rate = config["sample_rate"]
        scripted = isinstance(line.reply, tuple)
        self.failure = None if scripted else line.reply
        self.ear = Ear(self.rate, line.reply if scripted else None)
        self.settled = 0  # words
        self.turn = 0  # the word that the turn begins with
        self.told: list[dict[str, Any]] = []

    async def serve(self) -> None:
        while (message := await self.line.receive(self.fake.idle_s)) is not None:
            if isinstance(message, bytes):
                for piece in in_pieces(message, rate=self.rate):
                    self.ear.hear(piece)
                    await self.advance()
            elif message == "":
                self.ear.finish()
                await self.tell(self.sure(everything=True), finished=True)
                return
            elif isinstance(message, dict) and message.get("type") == "finalize":
                self.ear.finish()
                tokens = self.sure(everything=True)
                if tokens or self.ear.words or self.fake.marks_silence:
                    await self.tell([*tokens, mark("<fin>")])
                self.turn = len(self.ear.words)
            elif not isinstance(message, dict) or message.get("type") != "keepalive":
                await fail(self.line, 400, "Invalid control message.")

    async def advance(self) -> None:
        words = self.ear.words[self.turn :]
        tokens = self.sure()
        if words and self.config.get("enable_endpoint_detection"):
            longest = self.config.get("max_endpoint_delay_ms", 2000) / 1000
            finished = words[-1].text.endswith(STOPS) and self.ear.pause >= SHORT_PAUSE_S
            if finished or self.ear.pause >= longest:
                tokens = [*tokens, *self.sure(everything=True), mark("<end>")]
                self.turn = len(self.ear.words)
        unsure = [
            token for word in self.ear.words[self.settled :] for token in self.tokens(word, final=False)
        ]
        if tokens or unsure != self.told:
            self.told = unsure
            await self.tell([*tokens, *unsure])

    def sure(self, *, everything: bool = False) -> list[dict[str, Any]]:
        """The tokens of words that will not change any more, each once."""
        tokens = []
        for word in self.ear.words[self.settled :]:
            if everything or (word.is_complete and self.ear.seconds - word.end >= SURE_AFTER_S):
                tokens += self.tokens(word, final=True)
                self.settled += 1
            else:
                break
        return tokens

    def tokens(self, word: Word, *, final: bool) -> list[dict[str, Any]]:
        """A word in pieces, as a model would write it; the first begins with the space before the word."""
        text = word.text if final or word.is_complete else word.so_far
        first = word is self.ear.words[0]
        pieces = [text[at : at + 4] for at in range(0, len(text), 4)]
        if not first:
            pieces[0] = f" {pieces[0]}"
        start, end = round(word.start * 1000), round(word.end * 1000)
        token: dict[str, Any] = {"start_ms": start, "end_ms": end, "confidence": 0.97, "is_final": final}
        if self.config.get("enable_language_identification"):
            token["language"] = self.fake.language
        return [{"text": piece, **token} for piece in pieces]

    async def tell(self, tokens: list[dict[str, Any]], *, finished: bool = False) -> None:
        if self.failure is not None:
            await fail(self.line, self.failure)
        now = round(self.ear.seconds * 1000)
        words = self.ear.words
        final = now if self.settled == len(words) else round(words[self.settled].start * 1000)
        message: dict[str, Any] = {
            "tokens": tokens,
            "final_audio_proc_ms": final,
            "total_audio_proc_ms": now,
        }
        await self.line.send(message | ({"finished": True} if finished else {}))


def mark(text: str) -> dict[str, Any]:
    return {"text": text, "confidence": 1.0, "is_final": True}
