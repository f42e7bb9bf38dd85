"""Fetches files over HTTP so that one is there whole and checked, or not at all."""

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import requests
import urllib3

from cascade_exit.data.coco_subset.config import DownloadConfig
from cascade_exit.data.coco_subset.partial import PartialFile, version_of
from cascade_exit.data.coco_subset.space import require_space
from cascade_exit.runs.errors import UserError

Check = Callable[[Path], None]
"""Raises `BrokenFile` if a file is not what it should be."""

_CHUNK_BYTES = 1 << 16
_FIRST_DELAY_S = 1.0
_LONGEST_DELAY_S = 60.0
# A server that asks for more patience than this is told so to the user instead.
_LONGEST_WISH_S = 600.0
_SLOWEST_BYTES_PER_S = 1024
# A try that brought this much is no failure: a long file may come in many pieces.
_PROGRESS_BYTES = 1 << 20
_WORTH_ANOTHER_TRY = (408, 425, 429)


class BrokenFile(Exception):
    """A file that came whole and is not what it should be."""


class Stopped(Exception):
    """The fetcher was told to stop."""


class _TryAgain(Exception):
    """A try failed in a way that may pass.

    Args:
        message: What happened.
        wish_s: Seconds that the server asks to wait.
    """

    def __init__(self, message: str, wish_s: float = 0.0) -> None:
        super().__init__(message)
        self.wish_s = wish_s


class Fetcher:
    """Fetches files, from several threads if need be.

    Args:
        config: How patiently.
        pause: Waits for some seconds; the tests' does not.
    """

    def __init__(self, config: DownloadConfig, pause: Callable[[float], object] | None = None) -> None:
        self._config = config
        self._stopped = threading.Event()
        self._pause = pause or self._stopped.wait
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=config.parallel)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def stop(self) -> None:
        """Makes every `fetch`, now or later, raise `Stopped` soon."""
        self._stopped.set()

    def fetch(
        self, url: str, path: Path, check: Check, report: Callable[[int, int | None], object] = lambda *_: None
    ) -> None:
        """Fetches a file, going on from what an earlier call has left of it.

        Dropped connections, bodies of another length than announced, files that fail the check, 408, 425, 429 and 5xx
        are tried again, with exponentially growing and randomly spread delays, or the server's ``Retry-After``.

        Args:
            url: Its address.
            path: Where it goes, once it is whole and checked.
            check: Looks at the file before it gets its name.
            report: Told the bytes that are there and those of the whole file, if known, as they come.

        Raises:
            UserError: The server refuses it, no try brought it, or there is no room for it.
            Stopped: `stop` was called.
        """
        try:
            self._bring(PartialFile(path, url), check, report)
        except OSError as error:  # those of the network are caught where they come from
            raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error

    def _bring(self, partial: PartialFile, check: Check, report: Callable[[int, int | None], object]) -> None:
        failures, reached = 0, partial.size
        while True:
            try:
                if partial.total is None or partial.size != partial.total:
                    self._receive(partial, report)
                _look(partial, check)
                break
            except _TryAgain as error:
                failures = 1 if partial.size - reached >= _PROGRESS_BYTES else failures + 1
                reached = max(reached, partial.size)
                if failures >= self._config.attempts:
                    raise UserError(f"{partial.url}: {error} ({failures} tries)") from error
                self._wait(partial.url, failures, error)
        partial.settle()

    def _wait(self, url: str, failures: int, error: _TryAgain) -> None:
        if error.wish_s > _LONGEST_WISH_S:
            raise UserError(f"{url}: {error}; the server asks to come back in {error.wish_s:.0f} s")
        delay = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** (failures - 1))
        self._pause(max(error.wish_s, delay * random.uniform(0.5, 1.5)))

    def _receive(self, partial: PartialFile, report: Callable[[int, int | None], object]) -> None:
        headers = {"Accept-Encoding": "identity", **partial.request_headers()}
        response = self._ask(partial.url, headers)
        with response:
            total = _begin(response, partial)
            if total is not None:
                require_space(partial.path.parent, total - partial.size, partial.final.name)
            with partial.path.open("ab") as file:
                for chunk in self._chunks(response):
                    file.write(chunk)
                    report(file.tell(), total)
        if total is not None and partial.size != total:
            raise _TryAgain(f"{partial.size:,} of {total:,} bytes came")

    def _ask(self, url: str, headers: dict[str, str]) -> requests.Response:
        if self._stopped.is_set():
            raise Stopped
        try:
            return self._session.get(url, headers=headers, stream=True, timeout=self._config.timeout_s)
        except ValueError as error:  # what requests calls an address that is none
            raise UserError(f"{url!r}: is no address that can be fetched ({error})") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _TryAgain(_reason(error)) from error

    def _chunks(self, response: requests.Response) -> Iterator[bytes]:
        start, received = time.monotonic(), 0
        while True:
            if self._stopped.is_set():
                raise Stopped
            try:
                # As it comes: waiting for a whole chunk, a server that drips would never be found out.
                chunk = response.raw.read1(_CHUNK_BYTES, decode_content=False)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise _TryAgain(_reason(error)) from error
            if not chunk:
                return
            yield chunk
            received += len(chunk)
            seconds = time.monotonic() - start
            if seconds > self._config.timeout_s and received < seconds * _SLOWEST_BYTES_PER_S:
                raise _TryAgain(f"{received:,} bytes in {seconds:.0f} s")


def _begin(response: requests.Response, partial: PartialFile) -> int | None:
    """Readies the partial file for a response's body; gives the length of the whole file, if it is told."""
    status = response.status_code
    if status == 206:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
        if span and int(span[1]) == partial.size > 0 and version_of(response.headers) in (None, partial.version):
            return int(span[2])
        partial.discard()
        raise _TryAgain("the server sent another part than was asked for")
    if status == 200:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        partial.restart(version_of(response.headers), total)
        return total
    said = f"{status} {response.reason}"
    if status == 416:  # what is here is no beginning of what is there
        partial.discard()
        raise _TryAgain(said)
    if status in _WORTH_ANOTHER_TRY or status >= 500:
        raise _TryAgain(said, _wish(response.headers.get("Retry-After")))
    raise UserError(f"{partial.url}: {said}")


def _wish(text: str | None) -> float:
    """Seconds that a `Retry-After` asks for: a number of them, or a date."""
    if not text:
        return 0.0
    if text.strip().isdecimal():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def _look(partial: PartialFile, check: Check) -> None:
    try:
        check(partial.path)
    except BrokenFile as error:
        partial.discard()
        raise _TryAgain(str(error)) from error


def _reason(error: Exception) -> str:
    """The innermost of the errors that libraries wrap into each other, on one line."""
    while isinstance(error.__cause__ or error.__context__, Exception):
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return " ".join(str(error).split()) or type(error).__name__
