"""The virtual clock of `benchmarks.turns`: the real engine hears a clip, and its ends come when they must."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.turns.corpus import Clip, clip_of
from benchmarks.turns.engine_ride import ride
from benchmarks.turns.models import JUDGE_MS, VAD_MS, Ear, stt_ms
from benchmarks.turns.systems import SYSTEMS, play, silence_of
from benchmarks.turns.takes import Synthetic, with_pauses
from benchmarks.turns.voices import SENTENCES
from pipeline.config import SemanticVad, ServerVad
from pipeline.core.endpointing import Decision, Evidence
from pipeline.core.pauses import CHECK_MS

FRAME_MS = 32


@pytest.fixture(scope="module")
def clip() -> Clip:
    """One sentence with a pause of some 700 ms."""
    (take,) = Synthetic().takes(SENTENCES[:1])
    return clip_of(with_pauses(take, (700,), seed=1), "made pauses", "700", 1)


@pytest.fixture(scope="module")
def ear(tmp_path_factory: pytest.TempPathFactory) -> Ear:
    return Ear(tmp_path_factory.mktemp("turns") / "answers.json")


def silent_from(clip: Clip, ear: Ear) -> float:
    """The end of the last frame before the true end's silence that is speech for the engine, in ms."""
    last = max(index for index, score in enumerate(ear.frames(clip)) if score >= 0.35)
    return (last + 1) * float(FRAME_MS)


@pytest.mark.parametrize("silence", [800, 1000])
def test_plain_silence_ends_after_its_window_and_the_delay_of_the_detector(
    clip: Clip, ear: Ear, silence: int
) -> None:
    heard = ride(clip, ServerVad(silence_duration_ms=silence), ear, judged=False, words=False)
    assert len(heard.ends) == 1
    end = silent_from(clip, ear)
    frames = -(-silence // FRAME_MS) * FRAME_MS  # told with the frame that completes the window
    assert heard.ends[0] == end + frames + VAD_MS
    assert 0 < end - clip.end < 200


def test_a_window_shorter_than_the_pause_cuts_the_speaker_off(clip: Clip, ear: Ear) -> None:
    heard = ride(clip, ServerVad(silence_duration_ms=300), ear, judged=False, words=False)
    (pause,) = (pause for pause in clip.pauses if pause.end - pause.start > 500)
    assert len(heard.ends) == 2
    assert pause.start < heard.ends[0] < pause.end + 100
    assert heard.ends[1] > clip.end


def test_another_decision_can_be_tried_out(clip: Clip, ear: Ear) -> None:
    asked: list[Evidence] = []

    def never_before_two_seconds(evidence: Evidence, eagerness: str) -> Decision:
        asked.append(evidence)
        return Decision(2000, likely=False, reason=eagerness)

    system = SYSTEMS["text medium"]
    heard = play(system, [clip], ear, Path(), decide=never_before_two_seconds)[clip.name]
    assert len(heard.ends) == 1
    assert heard.ends[0] - silent_from(clip, ear) == pytest.approx(2000 + VAD_MS, abs=FRAME_MS)
    assert "medium" in heard.reasons[0]
    # The words of the recogniser were on the table by then.
    assert asked[-1].text is not None
    assert "table" in asked[-1].text.lower()


def test_a_judgement_takes_its_time_and_is_asked_for_once(clip: Clip, tmp_path: Path) -> None:
    class Certain(Ear):
        """Finds every turn finished. Stands in for the weights, which not every machine has."""

        def finished(self, pcm: bytes) -> float:
            self.asked += 1
            return 0.99

    ear = Certain(tmp_path / "answers.json")
    end = silent_from(clip, ear)
    before = ear.asked
    heard = ride(clip, SemanticVad(eagerness="high"), ear, judged=True, words=False)
    assert ear.asked > before
    # Nobody is sure before the first judgement, and it is asked for after CHECK_MS of silence.
    assert heard.ends[-1] >= end + CHECK_MS + VAD_MS + JUDGE_MS
    assert heard.ends[-1] < end + 600


def test_someone_who_speaks_interrupts_the_assistant(clip: Clip, ear: Ear) -> None:
    heard = ride(clip, ServerVad(), ear, judged=False, words=True, talking=True)
    assert heard.starts
    idle = ride(clip, ServerVad(), ear, judged=False, words=True)
    # While the assistant is heard, a sound has to last before it counts.
    assert clip.start < idle.starts[0] < heard.starts[0] < clip.start + 700


def test_answers_are_remembered(clip: Clip, tmp_path: Path) -> None:
    first = Ear(tmp_path / "answers.json")
    told: list[int] = []
    first.listen([clip], told.append)
    words = first.words(clip.pcm[: 2 * 16 * round(clip.end)])
    assert sum(told) == 1
    assert first.asked == 2
    first.save()
    second = Ear(tmp_path / "answers.json")
    assert second.frames(clip) == first.frames(clip)
    assert second.words(clip.pcm[: 2 * 16 * round(clip.end)]) == words
    assert second.asked == 0


def test_frames_are_scored_alike_alone_and_together(clip: Clip, tmp_path: Path) -> None:
    (other,) = Synthetic().takes(SENTENCES[1:2])
    clips = [clip, clip_of(other, "complete", "", 1)]
    together, alone = Ear(tmp_path / "a.json"), Ear(tmp_path / "b.json")
    together.listen(clips)
    for each in clips:
        assert np.allclose(together.frames(each), alone.frames(each), atol=2e-4)


def test_longer_audio_takes_the_recogniser_longer() -> None:
    assert stt_ms(bytes(32_000 * 8)) == pytest.approx(154)
    assert stt_ms(bytes(48_000)) == pytest.approx(37)


def test_systems_have_names_and_an_own_curve_of_silence() -> None:
    windows = [silence_of(name) for name in SYSTEMS if silence_of(name)]
    assert len(windows) == 10
    assert windows[0] == 300
    assert windows[-1] == 2000
    assert silence_of("semantic low") is None
    assert {"semantic high", "semantic medium", "semantic low", "pipecat"} <= SYSTEMS.keys()
