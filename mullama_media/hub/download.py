"""One file over HTTP: resumed, verified, atomic, safe against other processes.

Bytes go to `<name>.part`, next to a small `<name>.part.json` with the validator and the size the
server gave. A next run (after a kill, Ctrl-C or a lost line) continues there if the server still
has the same file. Only a complete and verified file gets the final name.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256 as new_sha256
from pathlib import Path
from typing import Protocol

from mullama_media.errors import ChecksumError, DownloadError
from mullama_media.hub import store, transport
from mullama_media.hub.transport import Answer, TransientError, public_url

__all__ = ["Progress", "Retry", "download"]

_CHUNK_BYTES = 1 << 18


class Progress(Protocol):
    """What a caller may watch. Called on the thread that downloads; must not block.

    `start` may come again for the same file, after a lost line or a change on the server; its
    `done_bytes` then replaces the count so far.
    """

    def start(self, name: str, total_bytes: int | None, done_bytes: int) -> None:
        """A file begins with `done_bytes` of it here already."""

    def advance(self, n: int) -> None:
        """`n` more bytes are written."""

    def finish(self) -> None:
        """The file is complete, or was given up; once for every file that was started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How stubborn to be.

    Attributes:
        attempts: tries in a row without a single new byte before giving up; at least 1.
        first_delay_s: seconds before the second try; doubles each time.
        timeout_s: seconds of silence after which a connection counts as dropped.
    """

    attempts: int = 5
    first_delay_s: float = 0.5
    timeout_s: float = 30.0


def download(
    url: str,
    dest: Path,
    *,
    sha256: str | None = None,
    progress: Progress | None = None,
    ca_file: Path | None = None,
    retry: Retry | None = None,
) -> Path:
    """Get `url` into `dest`; at once if `dest` exists. Blocks; thread- and process-safe.

    A second process asking for the same `dest` waits for the first and then finds the file.

    Args:
        url: http or https.
        dest: final place; its folder is created.
        sha256: hex digest the content must have.
        progress: told about bytes.
        ca_file: certificates to trust instead of the system's (PEM).
        retry: how stubborn to be.

    Raises:
        ChecksumError: the content is not the one asked for; it is thrown away.
        DownloadError: unreachable, refused, disk full; a started `.part` stays for next time.
        HubError: the folder cannot be written.
    """
    if dest.is_file():
        return dest
    with store.locked(dest):
        if not dest.is_file():
            _Download(url, dest, sha256, progress, ca_file, retry or Retry()).run()
    return dest


class _Download:
    def __init__(
        self,
        url: str,
        dest: Path,
        sha256: str | None,
        progress: Progress | None,
        ca_file: Path | None,
        retry: Retry,
    ) -> None:
        self.url, self.dest, self.sha256 = url, dest, sha256.lower() if sha256 else None
        self.progress, self.ca_file, self.retry = progress, ca_file, retry
        self.part = dest.with_name(dest.name + ".part")
        self.facts = dest.with_name(dest.name + ".part.json")
        self.started = False

    def run(self) -> None:
        best, failures = self._have(), 0
        try:
            while True:
                try:
                    return self._attempt()
                except TransientError as exc:
                    grew = self._have() > best
                    best, failures = max(best, self._have()), 1 if grew else failures + 1
                    if failures >= self.retry.attempts:
                        raise exc.error from exc
                    delay = exc.delay_s
                    if delay is None:
                        delay = self.retry.first_delay_s * 2 ** (failures - 1)
                time.sleep(delay)
        finally:
            if self.started and self.progress:
                self.progress.finish()

    def _attempt(self) -> None:
        have, known = self._have(), self._known()
        if have and not self.sha256 and not known.get("validator"):
            have = 0  # nothing could tell whether the rest would belong to this beginning
        headers = {"Range": f"bytes={have}-"} if have else {}
        validator = known.get("validator")
        if have and isinstance(validator, str) and not validator.startswith("W/"):
            headers["If-Range"] = validator
        with transport.open_url(
            self.url, headers, timeout_s=self.retry.timeout_s, ca_file=self.ca_file
        ) as answer:
            if have and not self._continues(answer, have, known):
                if answer.status != 200:
                    self._discard()
                    raise TransientError(self._error("the file changed on the server"), 0.0)
                have = 0
            digest = self._receive(answer, have)
        if self.sha256 and digest != self.sha256:
            self._discard()
            error = ChecksumError(
                f"sha256 is {digest}, expected {self.sha256}",
                where=public_url(self.url),
                hint="The source changed or the transfer was damaged; nothing was kept",
            )
            if have:  # the old beginning may have been at fault: once more from zero
                raise TransientError(self._error(error.what), 0.0) from error
            raise error
        os.replace(self.part, self.dest)
        self.facts.unlink(missing_ok=True)

    @staticmethod
    def _continues(answer: Answer, have: int, known: Mapping[str, object]) -> bool:
        """Whether the answer is the rest of what lies in the part."""
        for old, new in (
            (known.get("validator"), answer.validator),
            (known.get("total_bytes"), answer.total_bytes),
        ):
            if old is not None and new is not None and old != new:
                return False
        if answer.status == 416:
            return answer.total_bytes == have
        return answer.status == 206 and answer.first == have

    def _receive(self, answer: Answer, have: int) -> str:
        """Write the body behind the first `have` bytes; the digest of the whole."""
        total = answer.total_bytes
        if total is not None:
            store.check_free(self.dest.parent, total - have)
        if self.progress:
            self.progress.start(self.dest.name, total, have)
            self.started = True
        hasher = new_sha256()
        done = have
        try:
            with self.part.open("r+b" if have else "wb") as out:
                self._remember(answer)
                while have and (old := out.read(_CHUNK_BYTES)):
                    hasher.update(old)
                while answer.status != 416 and (chunk := answer.read(_CHUNK_BYTES)):
                    out.write(chunk)
                    out.flush()  # a killed process then leaves nearly all it received
                    hasher.update(chunk)
                    done += len(chunk)
                    if self.progress:
                        self.progress.advance(len(chunk))
                out.flush()
                os.fsync(out.fileno())
        except OSError as exc:
            raise store.disk_error(exc, self.part) from exc
        if total is not None and done != total:
            raise TransientError(self._error(f"the connection closed at {done} of {total} bytes"))
        return hasher.hexdigest()

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _known(self) -> dict[str, object]:
        try:
            facts = json.loads(self.facts.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}

    def _remember(self, answer: Answer) -> None:
        facts = {"validator": answer.validator, "total_bytes": answer.total_bytes}
        self.facts.write_text(json.dumps(facts), "utf-8")

    def _discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.facts.unlink(missing_ok=True)

    def _error(self, what: str) -> DownloadError:
        return DownloadError(what, where=public_url(self.url))
