"""A web server on this machine that misbehaves as told, and a small COCO to be served by it."""

import hashlib
import io
import json
import socket
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

HTML = b"<html><body>Sign in to this network</body></html>"


@dataclass(frozen=True)
class Act:
    """How one request is answered; without anything it is answered well.

    Args:
        status: An error.
        headers: More headers.
        drop_after: The connection breaks after so many bytes of the body.
        claim: Content-Length is so many bytes longer than the body; negative: shorter.
        body: This instead of the file.
        delay_s: Seconds before the answer.
        drip_s: Seconds between one byte and the next.
        ignore_range: The whole file, whatever part was asked for.
        ignore_if_range: The part that was asked for, even of another version.
        unannounced: No Content-Length: the body ends with the connection.
        chunked: No Content-Length: the body comes in chunks that say how long they are.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    drop_after: int | None = None
    claim: int = 0
    body: bytes | None = None
    delay_s: float = 0
    drip_s: float = 0
    ignore_range: bool = False
    ignore_if_range: bool = False
    unannounced: bool = False
    chunked: bool = False


class Web:
    """A running server.

    Attributes:
        url: Where it is.
        files: What it holds, by path.
        acts: Answers to come, by path; when they are used up, requests are answered well.
        always: Answer to every request of a path.
        requests: Paths that were asked for, with the asked range.
        validators: Whether it names versions of its files.
        notice: Called at each request with its number.
    """

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.files: dict[str, bytes] = {}
        self.acts: dict[str, list[Act]] = defaultdict(list)
        self.always: dict[str, Act] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.validators = True
        self.notice: Callable[[int], object] = lambda _: None

    def asked(self, path: str) -> list[str | None]:
        """Ranges that were asked of a path, in order."""
        return [span for name, span in self.requests if name == path]


@contextmanager
def serve() -> Iterator[Web]:
    """Runs a server while the block runs."""
    # Handlers run side by side: without it two may see the same length of the list, and a number nobody sees.
    counting = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            span = self.headers.get("Range")
            with counting:
                web.requests.append((self.path, span))
                count = len(web.requests)
            web.notice(count)
            act = web.always.get(self.path) or (web.acts[self.path].pop(0) if web.acts[self.path] else Act())
            time.sleep(act.delay_s)
            if act.status is not None or self.path not in web.files:
                self._plain(act.status or 404, act.headers)
            else:
                self._file(act, span)

        def _plain(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for key, value in {"Content-Length": "0", **headers}.items():
                self.send_header(key, value)
            self.end_headers()

        def _file(self, act: Act, span: str | None) -> None:
            content = web.files[self.path] if act.body is None else act.body
            tag = f'"{hashlib.md5(content).hexdigest()}"'
            same = act.ignore_if_range or self.headers.get("If-Range") == tag
            first = int(span.removeprefix("bytes=").rstrip("-")) if span and same and not act.ignore_range else 0
            if first >= len(content) > 0:
                self._plain(416, {})
                return
            body = content[first:]
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            if web.validators:
                self.send_header("ETag", tag)
            if act.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif act.unannounced:
                self.send_header("Connection", "close")
            else:
                self.send_header("Content-Length", str(len(body) + act.claim))
            for key, value in act.headers.items():
                self.send_header(key, value)
            self.end_headers()
            sent = body if act.drop_after is None else body[: act.drop_after]
            if act.chunked:
                sent = b"%x\r\n%b\r\n" % (len(sent), sent) + (b"0\r\n\r\n" if act.drop_after is None else b"")
            self._send(sent, act.drip_s)
            if act.drop_after is not None or act.claim > 0 or act.unannounced:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)

        def _send(self, body: bytes, drip_s: float) -> None:
            try:
                for start in range(0, len(body), 1 if drip_s else max(1, len(body))):
                    self.wfile.write(body[start : start + 1] if drip_s else body)
                    time.sleep(drip_s)
            except OSError:  # the client has gone
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:
            """Clients that are killed are no errors of the server."""

    server = Server(("127.0.0.1", 0), Handler)
    web = Web(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


ARCHIVE = "/annotations/annotations_trainval2017.zip"
CATEGORIES = [{"id": 62, "name": "chair"}, {"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]
SIDES_PX = (10, 40, 100)  # small, medium, large


def coco_image(image_id: int, part: str, url: str) -> dict[str, Any]:
    """An image entry as COCO publishes it."""
    name = f"{image_id:012d}.jpg"
    more = {"license": image_id % 8 + 1, "coco_url": f"{url}/{part}/{name}"}
    return {"id": image_id, "file_name": name, "width": 120 + image_id % 5, "height": 110, **more}


def jpeg(entry: dict[str, Any]) -> bytes:
    """The image of an entry: noise, so that it is long enough to be cut."""
    pixels = np.random.default_rng(entry["id"]).integers(0, 255, (entry["height"], entry["width"], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=60)
    return file.getvalue()


def instances(part: str, first_id: int, count: int, url: str) -> dict[str, Any]:
    """A part of COCO: chairs, dogs, persons and nothing in turns, objects of all sizes."""
    images = [coco_image(first_id + number, part, url) for number in range(count)]
    annotations: list[dict[str, Any]] = []
    for number, entry in enumerate(images):
        side = SIDES_PX[number // 4 % 3]
        category = (62, 18, 1, None)[number % 4]
        if category is not None:
            annotations.append(
                {
                    "id": first_id * 100 + len(annotations),
                    "image_id": entry["id"],
                    "category_id": category,
                    "bbox": [1.0, 2.0, float(side), float(side)],
                    "area": float(side * side),
                    "iscrowd": 0,
                    "segmentation": [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]],
                }
            )
    licenses = [
        {"id": number, "name": f"licence {number}", "url": f"http://licence/{number}"} for number in range(1, 9)
    ]
    return {"info": {}, "licenses": licenses, "images": images, "annotations": annotations, "categories": CATEGORIES}


def small_coco(url: str = "http://127.0.0.1:9") -> dict[str, dict[str, Any]]:
    """Both parts, 80 images of train2017 and 40 of val2017."""
    return {"train2017": instances("train2017", 1, 80, url), "val2017": instances("val2017", 501, 40, url)}


def archive(coco: dict[str, dict[str, Any]], **more: str) -> bytes:
    """The archive of annotations, with members that nobody asked for."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as held:
        held.writestr("../../evil.txt", "out of the folder")
        held.writestr("annotations/captions_train2017.json", "{}")
        for part, content in coco.items():
            held.writestr(f"annotations/instances_{part}.json", json.dumps(content))
        for name, text in more.items():
            held.writestr(name, text)
    return file.getvalue()


def publish(web: Web) -> dict[str, dict[str, Any]]:
    """Puts a small COCO on a server."""
    coco = small_coco(web.url)
    web.files[ARCHIVE] = archive(coco)
    for part, content in coco.items():
        web.files |= {f"/{part}/{entry['file_name']}": jpeg(entry) for entry in content["images"]}
    return coco


def unpack(root: Path, coco: dict[str, dict[str, Any]]) -> None:
    """Writes a small COCO as the folder that people have."""
    for part, content in coco.items():
        (root / "annotations").mkdir(parents=True, exist_ok=True)
        (root / part).mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{part}.json").write_text(json.dumps(content))
        for entry in content["images"]:
            (root / part / entry["file_name"]).write_bytes(jpeg(entry))
