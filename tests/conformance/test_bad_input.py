"""Every bad input gets exactly one error and leaves session and conversation as they were."""

import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from server.protocol.decoding import Decoder
from tests.conformance.bad_inputs import ANCHOR, BAD_INPUTS, BadInput
from tests.conformance.client import bare_socket, talk
from tests.conformance.shapes import check_shape

MIB = 1024 * 1024


@pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in BAD_INPUTS.items()])
async def test_a_bad_input_gets_one_error_and_changes_nothing(server_url: str, bad: BadInput) -> None:
    async with bare_socket(server_url) as session:
        before = await session.update(output_modalities=["text"])
        content = [{"type": "input_text", "text": "Hello"}]
        await session.add({"type": "message", "role": "user", "id": ANCHOR, "content": content})
        if isinstance(bad.frame, str | bytes):
            event_id = None
            await session.send_frame(bad.frame)
        else:
            event_id = "the_bad_one"
            await session.send_frame(json.dumps({"event_id": event_id} | dict(bad.frame)))
        answers = await session.settle()

        assert [answer["type"] for answer in answers] == ["error"]
        error = answers[0]["error"]
        assert error["type"] == "invalid_request_error"
        assert error["code"] in ((bad.code,) if isinstance(bad.code, str) else bad.code), error
        assert error["param"] in (bad.param if isinstance(bad.param, tuple) else (bad.param,)), error
        assert error["event_id"] == event_id
        assert 10 < len(error["message"]) < 1_500
        assert await session.update() == before
        assert await session.items() == [ANCHOR]
        assert (await session.respond()).text == "You said: Hello"


async def test_a_thousand_bad_frames_in_a_row_get_a_thousand_errors(server_url: str) -> None:
    async with bare_socket(server_url) as session:
        for number in range(1_000):
            await session.send_frame("{" if number % 2 else b"\x00")
        answers = await session.settle()

        assert [answer["type"] for answer in answers] == ["error"] * 1_000


async def test_bad_input_during_a_response_does_not_disturb_it(server_url: str) -> None:
    async with bare_socket(server_url) as session:
        await session.update(output_modalities=["text"])
        id = await session.start("[[words 60]] [[pace 10]]")
        for bad in list(BAD_INPUTS.values())[:12]:
            assert isinstance(bad.frame, str | bytes)
            await session.send_frame(bad.frame)
        reply = await session.reply(id)

        assert reply.status == "completed"
        assert len(reply.text.split()) == 60


async def test_an_unknown_event_type_is_answered_with_those_that_exist(server_url: str) -> None:
    async with bare_socket(server_url) as session:
        await session.send("response.creat")
        error = await session.error()

        assert "response.create" in error["message"]


async def test_the_message_of_an_error_does_not_repeat_megabytes(server_url: str) -> None:
    async with bare_socket(server_url) as session:
        await session.send("x" * MIB)
        assert len((await session.error())["message"]) < 2_000
        await session.update(instructions="y" * (MIB // 4))  # long, and nothing wrong with it


async def close_code(server_url: str, frame: str | bytes) -> int | None:
    """What the server closes with after this text frame; None where it answers with an error instead."""
    url = server_url.replace("http", "ws", 1) + "/v1/realtime?model=builtin/echo"
    async with connect(url, proxy=None, max_size=None, compression=None) as socket:
        assert json.loads(await socket.recv())["type"] == "session.created"
        try:
            await socket.send(frame, text=True)
            answer = json.loads(await socket.recv())
        except ConnectionClosed:
            return socket.close_code
        assert (answer["type"], check_shape(answer)) == ("error", [])
        return None


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        # RFC 6455 has a code for each of these, and answering with an error is fine as well.
        pytest.param(b'{"type": "\xff\xfe"}', 1007, id="no UTF-8"),
        pytest.param('{"type": "' + "x" * (40 * MIB) + '"}', 1009, id="forty mebibytes"),
    ],
)
async def test_a_frame_that_cannot_be_read_ends_at_most_the_connection_that_sent_it(
    server_url: str, frame: str | bytes, code: int
) -> None:
    assert await close_code(server_url, frame) in (None, code)

    async with talk(server_url, text=True) as session:
        assert (await session.ask("Hello")).text == "You said: Hello"


async def test_a_fault_of_our_own_costs_one_event_and_not_the_session(
    server_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decode = Decoder.decode

    def stumble(self: Decoder, text: str) -> object:
        if "banana" in text:
            raise KeyError("nobody thought of fruit")
        return decode(self, text)

    monkeypatch.setattr(Decoder, "decode", stumble)
    async with bare_socket(server_url) as session:
        await session.update(output_modalities=["text"])
        await session.send_frame('{"type": "banana"}')
        error = await session.error()

        assert (error["type"], error["code"]) == ("server_error", None)
        assert "fruit" not in error["message"]
        assert (await session.ask("Hello")).text == "You said: Hello"
    assert [record.exc_info is not None for record in caplog.records if record.levelname == "ERROR"] == [True]
