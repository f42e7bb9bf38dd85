import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cascade_exit.data.coco_subset import DownloadConfig
from cascade_exit.data.coco_subset.fetch import BrokenFile, Fetcher, Stopped
from cascade_exit.runs.errors import UserError

from .web import HTML, Act, Web, serve

CONTENT = bytes(range(256)) * 1200
OTHER = bytes(reversed(CONTENT))
URL = "/file.bin"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as web:
        web.files[URL] = CONTENT
        yield web


def nothing(path: Path) -> None:
    """A check that finds everything right."""


def must_be(*contents: bytes) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        if path.read_bytes() not in contents:
            raise BrokenFile("is another file")

    return check


class Client:
    """A fetcher whose pauses are noted instead of waited for."""

    def __init__(self, web: Web, folder: Path, **settings: Any) -> None:
        self.web, self.path, self.pauses = web, folder / "file.bin", list[float]()
        self.pause: Callable[[float], None] = self.pauses.append
        self.config = DownloadConfig(**{"attempts": 4, "timeout_s": 5.0, **settings})

    def fetch(self, check: Callable[[Path], None] = nothing, **more: Any) -> bytes:
        Fetcher(self.config, self.pause).fetch(self.web.url + URL, self.path, check, **more)
        assert [file.name for file in self.path.parent.iterdir()] == ["file.bin"], "something is left lying about"
        return self.path.read_bytes()


@pytest.fixture
def client(web: Web, tmp_path: Path) -> Client:
    return Client(web, tmp_path)


def test_a_file_comes_as_it_is(client: Client) -> None:
    told: list[tuple[int, int | None]] = []
    assert client.fetch(report=lambda done, total: told.append((done, total))) == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert client.pauses == []


def test_a_dropped_connection_goes_on_where_it_broke(client: Client) -> None:
    client.web.acts[URL] = [Act(drop_after=100_000), Act(drop_after=50_000)]
    assert client.fetch() == CONTENT
    assert client.web.asked(URL) == [None, "bytes=100000-", "bytes=150000-"]
    assert len(client.pauses) == 2


def test_another_process_goes_on_where_one_was_cut_off(client: Client) -> None:
    client.web.always[URL] = Act(drop_after=100_000)
    client.config = DownloadConfig(attempts=1, timeout_s=5.0)
    with pytest.raises(UserError, match=r"file.bin: .* \(1 tries\)"):
        client.fetch()
    assert not client.path.exists()
    client.web.always.clear()
    assert client.fetch() == CONTENT
    assert client.web.asked(URL) == [None, "bytes=100000-"]


def test_bytes_of_unknown_origin_are_not_built_on(client: Client) -> None:
    (client.path.parent / ".tmp-file.bin.part").write_bytes(b"x" * 5000)
    (client.path.parent / ".tmp-file.bin.part.json").write_text('{"url": "http')
    assert client.fetch() == CONTENT
    assert client.web.asked(URL) == [None]


def test_bytes_of_another_address_are_not_built_on(client: Client) -> None:
    (client.path.parent / ".tmp-file.bin.part").write_bytes(b"x" * 5000)
    note = {"url": "http://elsewhere/file.bin", "version": '"1"', "total": 6000}
    (client.path.parent / ".tmp-file.bin.part.json").write_text(json.dumps(note))
    assert client.fetch() == CONTENT


@pytest.mark.parametrize(
    ("act", "spans"),
    [
        (Act(ignore_range=True), [None, "bytes=100000-"]),
        (Act(), [None, "bytes=100000-"]),  # changed: If-Range brings all of it
        (Act(ignore_if_range=True), [None, "bytes=100000-", None]),  # changed, and the server does not look
    ],
)
@pytest.mark.parametrize("changed", [False, True])
def test_a_file_is_never_mended_from_two_versions(client: Client, act: Act, spans: list[Any], changed: bool) -> None:
    client.web.acts[URL] = [Act(drop_after=100_000), act]

    def change(_: float) -> None:
        client.web.files[URL] = OTHER if changed else CONTENT

    client.pause = change
    assert client.fetch() == (OTHER if changed else CONTENT)
    assert client.web.asked(URL) == (spans if changed else spans[:2])


def test_without_a_version_it_begins_anew(client: Client) -> None:
    client.web.validators = False
    client.web.acts[URL] = [Act(drop_after=100_000)]
    assert client.fetch() == CONTENT
    assert client.web.asked(URL) == [None, None]


@pytest.mark.parametrize(
    "act",
    [
        Act(claim=5000),  # too long: the connection ends before
        Act(claim=-5000),  # too short: the file is cut
        Act(body=HTML),
        Act(body=b""),
        Act(unannounced=True, drop_after=100_000),  # nothing but the check can tell
        Act(delay_s=0.6),  # longer than the patience of this client
        Act(headers={"Content-Length": "many"}, unannounced=True, drop_after=1),
    ],
    ids=["too long", "too short", "html", "empty", "cut unannounced", "silent", "no number"],
)
def test_what_is_not_the_file_is_fetched_again(web: Web, tmp_path: Path, act: Act) -> None:
    client = Client(web, tmp_path, timeout_s=0.3)
    web.acts[URL] = [act, act]
    assert client.fetch(must_be(CONTENT)) == CONTENT
    assert len(client.pauses) == 2
    assert len(web.requests) == 3


@pytest.mark.parametrize("cut", [False, True])
def test_chunks_are_read_to_their_end(client: Client, cut: bool) -> None:
    client.web.acts[URL] = [Act(chunked=True, drop_after=100_000 if cut else None)]
    assert client.fetch(must_be(CONTENT)) == CONTENT
    assert client.web.asked(URL) == ([None, "bytes=100000-"] if cut else [None])


def test_slow_is_not_broken(client: Client) -> None:
    client.web.files[URL] = b"slow"
    client.web.always[URL] = Act(drip_s=0.01, delay_s=0.05)
    assert client.fetch() == b"slow"


def test_a_server_that_drips_is_left_and_asked_for_the_rest(web: Web, tmp_path: Path) -> None:
    client = Client(web, tmp_path, timeout_s=0.2)
    web.acts[URL] = [Act(drip_s=0.02)]
    assert client.fetch() == CONTENT
    assert re.fullmatch(r"bytes=\d{1,2}-", str(web.asked(URL)[1]))


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 408])
def test_a_passing_refusal_is_asked_again(client: Client, status: int) -> None:
    client.web.acts[URL] = [Act(status=status)] * 3
    assert client.fetch() == CONTENT
    low = [0.5, 1.0, 2.0]
    assert all(least <= pause <= 3 * least for least, pause in zip(low, client.pauses, strict=True)), client.pauses


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_final_refusal_is_not_asked_again(client: Client, status: int) -> None:
    client.web.always[URL] = Act(status=status)
    with pytest.raises(UserError, match=f"^{client.web.url}{URL}: {status} "):
        client.fetch()
    assert len(client.web.requests) == 1
    assert client.pauses == []


def test_a_server_that_never_recovers_is_given_up(client: Client) -> None:
    client.web.always[URL] = Act(status=503)
    with pytest.raises(UserError, match=r"file.bin: 503 Service Unavailable \(4 tries\)$"):
        client.fetch()
    assert len(client.web.requests) == 4
    assert len(client.pauses) == 3


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_s_wish_is_honoured(client: Client, status: int) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    client.web.acts[URL] = [Act(status, {"Retry-After": text}) for text in ("77", date, "soon")]
    assert client.fetch() == CONTENT
    assert client.pauses[0] == 77
    assert client.pauses[1] == pytest.approx(100, abs=5)
    assert client.pauses[2] <= 6


def test_a_wish_beyond_patience_is_passed_on(client: Client) -> None:
    client.web.always[URL] = Act(429, {"Retry-After": "7200"})
    with pytest.raises(UserError, match=r"429 Too Many Requests; the server asks to come back in 7200 s"):
        client.fetch()
    assert len(client.web.requests) == 1


def test_a_long_file_may_come_in_more_pieces_than_there_are_tries(client: Client) -> None:
    client.web.files[URL] = content = CONTENT * 40
    piece = 1_500_000
    client.web.always[URL] = Act(drop_after=piece)
    assert client.fetch() == content
    assert len(client.web.requests) == -(-len(content) // piece) > client.config.attempts


def test_pieces_that_are_lost_again_do_not_count_as_progress(client: Client) -> None:
    client.web.validators = False
    client.web.files[URL] = CONTENT * 40
    client.web.acts[URL] = [Act(drop_after=1_500_000 + number % 2 * 2_000_000) for number in range(20)]
    with pytest.raises(UserError, match="tries"):
        client.fetch()
    assert len(client.web.requests) < 12


def test_a_whole_file_that_was_not_yet_checked_is_not_asked_for_again(client: Client) -> None:
    client.web.acts[URL] = [Act(drop_after=100_000)]

    def stop(path: Path) -> None:
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        client.fetch(stop)
    asked = len(client.web.requests)
    assert client.fetch(must_be(CONTENT)) == CONTENT
    assert len(client.web.requests) == asked


def test_no_room_is_said_before_the_body_is_read(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    little = SimpleNamespace(free=1000)
    monkeypatch.setattr("cascade_exit.data.coco_subset.space.shutil.disk_usage", lambda _: little)
    with pytest.raises(UserError, match=r"file.bin needs 0.00 GB and the disk has 0.00 GB left: make room"):
        client.fetch()
    assert not client.path.exists()


def test_a_folder_that_cannot_be_written_is_named(web: Web, tmp_path: Path) -> None:
    client = Client(web, tmp_path / "not_there")
    with pytest.raises(UserError, match=r"not_there/file.bin: cannot be written \(No such file"):
        client.fetch()


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a", "nonsense", "http://"])
def test_an_address_that_is_none_is_said_at_once(tmp_path: Path, url: str) -> None:
    pauses: list[float] = []
    with pytest.raises(UserError, match="is no address that can be fetched"):
        Fetcher(DownloadConfig(), pauses.append).fetch(url, tmp_path / "a", nothing)
    assert pauses == []


def test_nobody_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(UserError, match=r"^http://127.0.0.1:9/a: .*Connection refused.* \(2 tries\)$") as caught:
        Fetcher(DownloadConfig(attempts=2), lambda _: None).fetch("http://127.0.0.1:9/a", tmp_path / "a", nothing)
    assert len(str(caught.value)) < 150


def test_stop_ends_a_long_pause(web: Web, tmp_path: Path) -> None:
    web.always[URL] = Act(429, {"Retry-After": "500"})
    fetcher = Fetcher(DownloadConfig())
    threading.Timer(0.1, fetcher.stop).start()
    with pytest.raises(Stopped):
        fetcher.fetch(web.url + URL, tmp_path / "file.bin", nothing)
