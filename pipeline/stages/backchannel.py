"""Listener sounds: while the user talks, a short "uh-huh" now and then, beside every reply.

They go to the clients in events of their own, which play them under the user's voice; neither the
conversation nor the engine knows of them.
"""

import asyncio
import logging
from dataclasses import replace
from random import Random

from pipeline.commands import Command, FrameScored, TranscriptGrew, TranscriptGuessed, TranscriptReady
from pipeline.config import SessionConfig
from pipeline.core.turns import windows
from pipeline.effects import (
    DropUtterance,
    Effect,
    Emit,
    ReportTurnDecision,
    StartUtterance,
    StopPlayback,
)
from pipeline.events import (
    AudioDelta,
    BackchannelAudio,
    BackchannelDone,
    BackchannelSkipped,
    BufferCleared,
    BufferCommitted,
    Event,
    ItemTruncated,
    ResponseCreated,
    ResponseDone,
    SpeechStarted,
    SpeechStopped,
    TranscriptionCompleted,
)
from pipeline.extensions import Backchannel, extensions_of
from pipeline.ids import new_id
from pipeline.stages.backchannel_rules import BackchannelRules, phrase_in
from pipeline.stages.backchannel_speech import SpokenPhrases, pieces
from pipeline.stages.backchannel_words import WordsSoFar
from pipeline.stages.contracts import Host
from pipeline.stages.phrases import Rotation, language_of, listener_sounds
from pipeline.stages.small_model import SmallModelError, ask, said_in
from providers.contracts import SystemMessage, TextPart, UserMessage
from providers.errors import ProviderError, UnknownModelError

__all__ = ["BackchannelStage"]

log = logging.getLogger(__name__)

_PROMPT = (
    "You listen to somebody who is still speaking. Decide whether an attentive listener would make a short "
    "sound now that shows interest and leaves the speaker the floor. Answer with that sound alone, or with "
    "NONE where silence is better: in the middle of a thought, behind a question, or where one was made just "
    "now."
)
_CHOICE = "The sounds to choose from: {phrases}."
_TASK = "The conversation so far:\n{said}\n\nThe speaker is just saying: {words}"


class BackchannelStage:
    """A `Stage`. `speech` may be shared by all sessions; `chance` decides where no model does."""

    def __init__(self, host: Host, speech: SpokenPhrases | None = None, chance: Random | None = None) -> None:
        self._host = host
        self._speech = speech or SpokenPhrases()
        self._chance = chance or Random()
        self._settings = Backchannel()
        self._rules = BackchannelRules()
        self._words = WordsSoFar()
        self._own = Rotation()
        self._detected: str | None = None  # the language that the user spoke last
        self._attempt: asyncio.Task[None] | None = None
        self._complaint = ""  # what was logged last; the same trouble would come with each turn

    # --- what the session tells -----------------------------------------------------------------------

    def configure(self, config: SessionConfig) -> bool:
        settings = extensions_of(config.provider_data).backchannel
        detection = config.audio.input.turn_detection
        speaks = config.type == "realtime" and "audio" in config.output_modalities
        self._settings = replace(settings, enabled=settings.enabled and speaks and detection is not None)
        self._rules.configure(self._settings, windows(detection).threshold if detection is not None else 0.5)
        if not self._settings.enabled:
            self._turn_closed()
        return self._settings.enabled

    def took(self, command: Command) -> None:
        match command:
            case FrameScored(start, end, probability):
                if self._rules.frame(start, end, probability, self._now):
                    self._attempt = self._host.spawn(self._listen(), "listener sound")
            case TranscriptGrew() | TranscriptGuessed() | TranscriptReady():
                if self._words.item_id is None and self._is_unknown(command.item_id):
                    self._words.begin(command.item_id)  # its beginning was not seen
                self._words.took(command)

    def saw(self, effect: Effect) -> None:
        match effect:
            case Emit(event):
                self._saw_event(event)
            case StartUtterance(item_id):
                self._words.begin(item_id)
            case DropUtterance():
                self._turn_closed()
            case ReportTurnDecision(outcome="suggest" | "revoke" as outcome):
                self._rules.probably_over(outcome == "suggest")
            case StopPlayback():
                self._rules.playback_stopped(self._now)

    def _saw_event(self, event: Event) -> None:
        rules = self._rules
        match event:
            case AudioDelta(_, pcm, format):
                rules.sent(len(pcm) / 2 / format.rate, self._now)
            case SpeechStarted():
                rules.turn_opened()
            case SpeechStopped() | BufferCommitted() | BufferCleared():
                self._turn_closed()
            case ResponseCreated(response) if "audio" in response.output_modalities:
                rules.reply_began(response.id)
            case ResponseDone(response):
                rules.reply_over(response.id)
            case ItemTruncated():
                rules.playback_stopped(self._now)
            case TranscriptionCompleted(languages=languages) if languages:
                self._detected = languages[0]

    def close(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None

    # --- what it does ---------------------------------------------------------------------------------

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _is_unknown(self, item_id: str) -> bool:
        return all(item.id != item_id for item in self._host.items)

    def _turn_closed(self) -> None:
        self._rules.turn_closed()
        self._words.end()
        self.close()

    async def _listen(self) -> None:
        """Decide about one sound, and make it. Cancelled where the turn ends meanwhile."""
        id, settings = new_id("bc"), self._settings
        phrase: str | None = None
        problem = ""
        sounded = False
        try:
            async with asyncio.timeout(settings.hard_deadline_ms / 1000):
                phrase = await self._decide(settings)
                pcm = b"" if phrase is None else await self._spoken(phrase)
            if phrase is not None and not self._rules.assistant_speaks(self._now):
                self._make(id, phrase, pcm, settings.volume_gain)
                sounded = True
        except TimeoutError:
            self._host.tell(BackchannelSkipped(id, "deadline_missed"))
        except asyncio.CancelledError:
            if phrase is not None:
                self._host.tell(BackchannelSkipped(id, "turn_ended"))
            raise
        except SmallModelError as error:
            problem = str(error)
        except ProviderError as error:
            problem = error.message
        except UnknownModelError as error:
            problem = str(error)
        except Exception as error:
            problem = f"{type(error).__name__} in an adapter"
            if problem != self._complaint:
                log.exception("a listener sound could not be made")
        self._attempt = None
        self._rules.decided(sounded=sounded, rest=bool(problem))
        if problem and problem != self._complaint:
            self._complaint = problem
            log.warning("listener sounds: %s", problem)

    async def _decide(self, settings: Backchannel) -> str | None:
        phrases = settings.allowed_phrases or listener_sounds(language_of(self._host.config, self._detected))
        if not settings.small_model or settings.decider_kind == "rule":
            fires = self._chance.random() < settings.rule_fire_probability
            return self._own.next(phrases) if fires else None
        words = self._words.text
        if not words:
            return None  # there is nothing yet that a model could react to
        prompt = settings.prompt_template or _PROMPT
        said = said_in(self._host.items, settings.history_tail_items)
        answer = await ask(
            self._host,
            settings.small_model,
            (
                SystemMessage(f"{prompt}\n{_CHOICE.format(phrases=', '.join(phrases))}"),
                UserMessage((TextPart(_TASK.format(said=said, words=words)),)),
            ),
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
            deadline=2 * settings.hard_deadline_ms / 1000,  # the deadline of decision and sound comes first
        )
        return phrase_in(answer, phrases, only=bool(settings.allowed_phrases))

    async def _spoken(self, phrase: str) -> bytes:
        output = self._host.config.audio.output
        return await self._speech.get(
            self._host.engines, output.model, output.voice, output.speed, phrase, self._host.caller
        )

    def _make(self, id: str, phrase: str, pcm: bytes, gain: float) -> None:
        for piece in pieces(pcm, gain):
            self._host.tell(BackchannelAudio(id, piece))
        self._host.tell(BackchannelDone(id, phrase))
