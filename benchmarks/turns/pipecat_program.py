"""Plays clips to Pipecat's Silero and Smart Turn, in an environment of its own; uses nothing of ours.

    python pipecat_program.py FOLDER   (holds jobs.json and the clips; answers go to answers.json)

Driven as Pipecat's own default strategies do it: chunks of 20 ms go through the voice detector, then through
the turn analyser; when the voice has stopped, the analyser is asked; when it finds the turn unfinished, its
silence timer decides. Its clock is the audio's. The end counts as soon as the analyser has decided, although
Pipecat would by default wait for a transcript as well.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Imported by name: our own type checker has no business in them.
import_module("loguru").logger.remove()
base = import_module("pipecat.audio.turn.smart_turn.base_smart_turn")
EndOfTurnState = import_module("pipecat.audio.turn.base_turn_analyzer").EndOfTurnState
SmartTurnAnalyzer = import_module(
    "pipecat.audio.turn.smart_turn.local_smart_turn_v3"
).LocalSmartTurnAnalyzerV3
SileroAnalyzer = import_module("pipecat.audio.vad.silero").SileroVADAnalyzer
VADState = import_module("pipecat.audio.vad.vad_analyzer").VADState

RATE = 16_000
CHUNK_MS = 20


class Clock:
    """Stands in for the module `time` inside of the analyser."""

    def __init__(self) -> None:
        self.now = 1.0  # the analyser takes 0 for "not yet"

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now


def play(pcm: bytes, clock: Clock, vad: Any, turn: Any, job: dict[str, Any]) -> dict[str, list[float]]:
    """Moments in ms at which the user was found to have started and to have finished."""
    vad_ms, judge_ms, size = job["vad_ms"], job["judge_ms"], RATE * CHUNK_MS // 1000 * 2
    vad.set_params(vad.params)
    vad._vad_buffer = b""
    vad._volume_tracker.reset()
    vad._prev_volume = 0.0
    vad._model.reset_states()
    vad._windows_since_reset = vad._low_confidence_windows = 0
    turn.clear()
    state, speaking, in_turn = VADState.QUIET, False, False
    starts: list[float] = []
    ends: list[float] = []
    # As `VADController` and `TurnAnalyzerUserTurnStopStrategy` go about it.
    for at in range(0, len(pcm) - size + 1, size):
        chunk = pcm[at : at + size]
        now = (at + size) / 2 / RATE * 1000 + vad_ms
        clock.now = 1.0 + now / 1000
        new = vad._run_analyzer(chunk)
        if new != state and new in (VADState.SPEAKING, VADState.QUIET):
            state = new
            if state == VADState.SPEAKING:
                turn.update_vad_start_secs(vad.params.start_secs)
                speaking = True
                if not in_turn:
                    starts.append(now)
                in_turn = True
            else:
                speaking = False
                if turn._process_speech_segment(turn._audio_buffer)[0] == EndOfTurnState.COMPLETE:
                    turn._clear(EndOfTurnState.COMPLETE)
                    if in_turn:
                        ends.append(now + judge_ms)
                    in_turn = False
        if turn.append_audio(chunk, speaking) == EndOfTurnState.COMPLETE and in_turn:
            ends.append(now)
            in_turn = False
        if job["stop_after"] is not None and ends and ends[-1] >= job["stop_after"]:
            break
    return {"starts": starts, "ends": ends}


def main() -> None:
    folder = Path(sys.argv[1])
    clock = Clock()
    vars(base)["time"] = SimpleNamespace(monotonic=clock.monotonic, perf_counter=clock.perf_counter)
    vad = SileroAnalyzer(sample_rate=RATE)
    vad.set_sample_rate(RATE)
    turn = SmartTurnAnalyzer()
    turn.set_sample_rate(RATE)
    answers = {}
    for job in json.loads((folder / "jobs.json").read_text()):
        answers[job["name"]] = play((folder / job["file"]).read_bytes(), clock, vad, turn, job)
        print(job["name"], flush=True)
    (folder / "answers.json").write_text(json.dumps(answers))


main()
