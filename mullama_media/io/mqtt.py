"""Sound that comes over MQTT: raw samples in the messages of one topic."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from mullama_media.audio.pcm import PcmDecoder
from mullama_media.errors import AudioDeviceError, InvalidOptionError, MissingExtraError
from mullama_media.frames import DeviceChange
from mullama_media.io.feeds import audio_format
from mullama_media.io.params import MqttSourceParams
from mullama_media.io.source import RingSource

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["MqttSource"]

_FIRST_DELAY_S = 0.25


class MqttSource(RingSource):
    """Samples of a satellite: any device that publishes raw PCM, in messages of any length.

    Live: a reader that is slower than the buffer is long loses frames, and they are counted. When
    the broker goes away a `DeviceChange` says so; it is tried again with back-off, a
    `Discontinuity` of unknown length stands where samples may be missing, and another
    `DeviceChange` says that it is back. The connection lives on a thread of its own.

    Raises:
        MissingExtraError: at open, if aiomqtt is not installed.
        AudioDeviceError: at open, if the broker does not answer or refuses.
        InvalidOptionError: a topic that is a pattern, or an unknown encoding.
    """

    def __init__(self, params: MqttSourceParams | None = None) -> None:
        self.params = params or MqttSourceParams()
        p = self.params
        if not p.topic or set(p.topic) & set("+#"):
            raise InvalidOptionError(
                f"{p.topic!r} is no topic of one stream",
                where="MqttSourceParams.topic",
                hint="One source reads one topic, without + and #",
            )
        self._decoder = PcmDecoder(p.encoding, p.channels)
        super().__init__(audio_format(p.sample_rate, p.channels, p.encoding), buffer_ms=p.buffer_ms)
        self._where = f"{p.host}:{p.port} {p.topic}"
        self._connected: Future[None] = Future()
        self._here = False
        self._written = 0
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def _start(self) -> None:
        aiomqtt = _aiomqtt()
        self._connected = Future()
        self._thread = threading.Thread(
            target=self._work, args=(aiomqtt,), name="mullama-mqtt", daemon=True
        )
        self._thread.start()
        self._connected.result()

    def _stop(self) -> None:
        if self._loop is not None and self._task is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._task.cancel)
        if self._thread is not None:
            self._thread.join()
        self._ring.finish()

    def _work(self, aiomqtt: ModuleType) -> None:
        """The thread. Whatever ends it, nobody waits for it in vain."""
        try:
            asyncio.run(self._run(aiomqtt))
        except Exception as error:  # of the library, or of what it was given
            if self._connected.done():
                self._lost(str(error))
                self._ring.finish()
            else:
                self._connected.set_exception(self._refused(str(error)))

    async def _run(self, aiomqtt: ModuleType) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        delay = _FIRST_DELAY_S
        with contextlib.suppress(asyncio.CancelledError):
            while not self._closing.is_set():
                why = ""
                try:
                    async with self._client(aiomqtt) as client:
                        await client.subscribe(self.params.topic, qos=self.params.qos)
                        self._began()
                        delay = _FIRST_DELAY_S
                        async for message in client.messages:
                            self._take(message.payload)
                except (aiomqtt.MqttError, OSError) as error:
                    why = str(error) or type(error).__name__
                if not self._connected.done():
                    self._connected.set_exception(self._refused(why))
                    return
                self._lost(why)
                await asyncio.sleep(delay)
                delay = min(2 * delay, self.params.reconnect_max_s)

    def _client(self, aiomqtt: ModuleType) -> Any:
        p = self.params
        return aiomqtt.Client(
            p.host,
            p.port,
            username=p.username,
            password=p.password,
            timeout=p.timeout_s,
            tls_context=ssl.create_default_context() if p.tls else None,
        )

    def _began(self) -> None:
        self._here = True
        if not self._connected.done():
            self._connected.set_result(None)
        else:
            self._tell(DeviceChange(self._written, self._where, True))

    def _lost(self, why: str) -> None:
        if self._here:
            self._here = False
            self._tell(DeviceChange(self._written, self._where, False, why))
            self._decoder = PcmDecoder(self.params.encoding, self.params.channels)
            self._ring.gap(0)

    def _take(self, payload: bytes) -> None:
        frames = self._decoder.decode(payload)
        self._written += len(frames)
        self._ring.write(frames, wait=False)

    def _refused(self, why: str) -> AudioDeviceError:
        return AudioDeviceError(
            f"the broker gives no sound: {why}",
            where=self._where,
            hint="Check host, port, username, password and tls",
        )


def _aiomqtt() -> ModuleType:
    try:
        import aiomqtt
    except ImportError as error:
        raise MissingExtraError.of("MQTT", "mqtt") from error
    return aiomqtt
