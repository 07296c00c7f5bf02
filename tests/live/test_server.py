"""The browser's stream, by urllib and by sockets that behave badly."""

import base64
import hashlib
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import cv2
import numpy as np
import pytest

from hybridanim.errors import InputError
from hybridanim.live import access
from hybridanim.live.server import BOUNDARY, FrameBroadcaster, Server
from tests.live_fakes import wait_until


def picture(level: int) -> np.ndarray:
    image = np.full((32, 48, 3), level, np.uint8)
    image[:, :, 0] = 200  # red: the order of the colours shows
    return image


@pytest.fixture
def server():
    pressed = []
    one = Server(0, on_key=pressed.append)
    one.pressed = pressed
    yield one
    one.close()


def get(server, path, **headers):
    request = urllib.request.Request(server.url + path, headers=headers)
    return urllib.request.urlopen(request, timeout=5)


def next_part(stream) -> tuple[dict, bytes]:
    """One part of a multipart stream, read by the letter of RFC 2046."""
    line = stream.readline()
    while line in (b"\r\n", b""):
        line = stream.readline()
    assert line.rstrip() == f"--{BOUNDARY}".encode()
    headers = {}
    while (line := stream.readline().rstrip()) != b"":
        name, _, value = line.decode().partition(": ")
        headers[name] = value
    return headers, stream.read(int(headers["Content-Length"]))


def test_the_stream_is_valid_multipart_jpeg(server):
    server.write(picture(10), time.monotonic())
    with get(server, "stream.mjpg") as stream:
        kind = stream.headers["Content-Type"]
        assert kind == f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        for level in (10, 120, 240):
            server.write(picture(level), time.monotonic())
            headers, data = next_part(stream)
            if level == 10 and headers["X-Number"] == "1":
                headers, data = next_part(stream)
            assert headers["Content-Type"] == "image/jpeg"
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            assert image is not None
            blue, green, red = image.mean((0, 1))
            assert abs(red - 200) < 4 and abs(blue - level) < 4 and abs(green - level) < 4
            assert 0 <= time.monotonic() - float(headers["X-Taken-S"]) < 1


def test_nothing_is_encoded_without_readers(server, monkeypatch):
    import hybridanim.live.server as module

    calls = []
    jpeg = module._jpeg
    monkeypatch.setattr(module, "_jpeg", lambda image: calls.append(1) or jpeg(image))
    for level in range(50):
        server.write(picture(level), time.monotonic())
    assert calls == []
    get(server, "picture.jpg").read()
    get(server, "picture.jpg").read()
    assert len(calls) == 1  # the same picture, once for all


def test_a_reader_that_never_reads_delays_nobody_and_is_let_go(server, monkeypatch):
    import hybridanim.live.server as module

    monkeypatch.setattr(module._Handler, "timeout", 0.5)
    large = np.random.default_rng(0).integers(0, 255, (720, 1280, 3)).astype(np.uint8)
    silent = socket.socket()
    silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    silent.connect(("127.0.0.1", server.port))
    silent.sendall(f"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
    assert wait_until(lambda: server.broadcaster.readers == 1)
    slowest = 0.0
    with get(server, "stream.mjpg") as stream:
        for _ in range(10):
            start_s = time.monotonic()
            server.write(large, start_s)
            slowest = max(slowest, time.monotonic() - start_s)
            headers, _ = next_part(stream)
    assert slowest < 0.5
    assert int(headers["X-Number"]) == 10
    server.write(large, time.monotonic())
    assert wait_until(lambda: server.broadcaster.readers == 0, 10.0)
    silent.close()


def test_the_page_shows_the_stream_and_the_status(server):
    page = get(server, "").read().decode()
    assert "/stream.mjpg" in page and "<title>" in page
    assert "http" not in page.replace(server.url, "")  # nothing comes from elsewhere
    server.broadcaster.status = {"figures": "30 fps"}
    assert json.load(get(server, "status.json")) == {"figures": "30 fps"}
    with pytest.raises(urllib.error.HTTPError, match="404"):
        get(server, "../etc/passwd")


def post(server, path, **headers):
    request = urllib.request.Request(server.url + path, data=b"", headers=headers)
    return urllib.request.urlopen(request, timeout=5)


def test_keys_come_from_its_own_page_only(server):
    own = server.url.rstrip("/")
    assert post(server, "key?letter=r", Origin=own).status == 200
    assert post(server, "key?letter=%2B").status == 200
    assert server.pressed == ["r", "+"]
    for headers in (
        {"Origin": "https://elsewhere.example"},
        {"Host": "elsewhere.example"},
        {"Host": f"elsewhere.example:{server.port}"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        with pytest.raises(urllib.error.HTTPError, match="403"):
            post(server, "key?letter=r", **headers)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            get(server, "picture.jpg", **headers)
    with pytest.raises(urllib.error.HTTPError, match="404"):
        post(server, "key?letter=rr")
    assert server.pressed == ["r", "+"]


def page_keys(server):
    """Letters that the page can send: its buttons, and those that its script lets through."""
    page = get(server, "").read().decode()
    buttons = re.findall(r'<button data-letter="(.)"', page)
    listed = json.loads(re.search(r"if \((\[.*?\])\.includes\(event\.key\)\)", page)[1])
    return set(buttons), set(listed)


def test_only_keys_of_the_page_are_accepted(server):
    buttons, listed = page_keys(server)
    assert buttons == set("rn+-mdp") and listed == buttons | set("=123456789")
    for code in range(256):
        letter = chr(code)
        try:
            status = post(server, f"key?letter={urllib.parse.quote(letter)}").status
        except urllib.error.HTTPError as error:
            status = error.code
        assert status == (200 if letter in listed else 404), letter
    assert set(server.pressed) == listed and "q" not in server.pressed
    for query in ("", "letter=", "letter=qr", "letter=%71", "letter=Q", "letter=+", "key=r"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            post(server, f"key?{query}")


def test_readers_beyond_the_limit_get_an_error(server):
    server.write(picture(1), time.monotonic())
    streams, codes = [], []
    ready = threading.Barrier(30)

    def read():
        ready.wait()
        try:
            streams.append(get(server, "stream.mjpg"))
        except urllib.error.HTTPError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=read) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(streams) == 8 and codes == [503] * 22
    streams.pop().close()
    assert wait_until(lambda: feed(server).readers == 7, 10.0)
    assert get(server, "stream.mjpg").status == 200
    for stream in streams:
        stream.close()


def feed(server):
    server.write(picture(2), time.monotonic())
    return server.broadcaster


def test_joining_at_the_same_time_lets_no_ninth_in():
    broadcaster = FrameBroadcaster()
    ready, found = threading.Barrier(40), []

    def join():
        ready.wait()
        found.append(broadcaster.join())

    threads = [threading.Thread(target=join) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == broadcaster.readers == 8
    broadcaster.leave()
    assert broadcaster.join() and not broadcaster.join()


def test_only_this_machine_can_reach_it(server):
    assert server._server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.port}/"


def test_a_port_in_use_is_reported(server):
    with pytest.raises(InputError, match=f"--serve {server.port}"):
        Server(server.port)


def test_closing_ends_the_streams():
    server = Server(0)
    server.write(picture(1), time.monotonic())
    stream = get(server, "stream.mjpg")
    next_part(stream)
    start_s = time.monotonic()
    server.close()
    stream.read()  # comes to an end
    assert time.monotonic() - start_s < 10
    with pytest.raises(urllib.error.URLError):
        get(server, "")


def test_the_stream_is_a_camera_for_another_run(server):
    """FFmpeg, through OpenCV, reads what is served: an URL as the camera."""
    from hybridanim.live.camera import Stream

    stop = threading.Event()

    def feed():
        while not stop.wait(0.02):
            server.write(cv2.resize(picture(60), (128, 96)), time.monotonic())

    thread = threading.Thread(target=feed)
    thread.start()
    camera = Stream(server.url + "stream.mjpg")
    try:
        camera.open()
        shots = [camera.read() for _ in range(3)]
    finally:
        camera.close()
        stop.set()
        thread.join()
    assert all(shot is not None and shot.image.shape == (96, 128, 3) for shot in shots)
    assert abs(shots[-1].image[..., 0].mean() - 200) < 6  # red stays red
    assert shots[0].time_s <= shots[-1].time_s <= time.monotonic()


def test_an_url_without_anybody_behind_it_says_so():
    from hybridanim.live.camera import CameraError, Stream

    camera = Stream("http://127.0.0.1:9/none.mjpg")
    with pytest.raises(CameraError, match="does not answer"):
        camera.open()


def everywhere():
    server = Server(0, "0.0.0.0")
    server.write(picture(9), time.monotonic())
    return server


def test_off_loopback_the_address_holds_a_token():
    server, other = everywhere(), everywhere()
    try:
        token = re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/([\w-]{{20,}})/", server.url)[1]
        for path in ("", "picture.jpg", "status.json"):
            assert get(server, path).status == 200
        assert post(server, "key?letter=r").status == 200
        plain = f"http://127.0.0.1:{server.port}/"
        for wrong in ("", token[:-1] + "/", token, "x" + token[1:] + "/", "picture.jpg", "%2F"):
            for path in ("", "picture.jpg", "stream.mjpg", "key?letter=r"):
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    urllib.request.urlopen(plain + wrong + path, timeout=5)
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    urllib.request.urlopen(plain + wrong + path, data=b"", timeout=5)
        assert token not in other.url
    finally:
        server.close()
        other.close()


def test_off_loopback_another_name_gets_nothing():
    """DNS rebinding: a page of evil.example whose name leads here, with a token that leaked."""
    server = everywhere()
    try:
        for host in (f"evil.example:{server.port}", "evil.example", f"192.0.2.7:{server.port}"):
            for headers in ({"Host": host}, {"Host": host, "Origin": f"http://{host}"}):
                for path in ("", "picture.jpg", "stream.mjpg", "status.json"):
                    with pytest.raises(urllib.error.HTTPError, match="403"):
                        get(server, path, **headers)
                with pytest.raises(urllib.error.HTTPError, match="403"):
                    post(server, "key?letter=r", **headers)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            post(server, "key?letter=r", Origin="http://evil.example")
        for host in ("127.0.0.1", "localhost", "LOCALHOST"):
            assert get(server, "", Host=f"{host}:{server.port}").status == 200
    finally:
        server.close()


HERE = ("127.0.0.1", 8080)
NAMES = [
    ("127.0.0.1:8080", HERE, "127.0.0.1", True),
    ("localhost:8080", HERE, "127.0.0.1", True),
    ("[::1]:8080", ("::1", 8080), "::1", True),
    ("127.0.0.1", HERE, "127.0.0.1", False),  # the port is in use: it belongs to the name
    ("127.0.0.1:80", HERE, "127.0.0.1", False),
    ("127.0.0.1", ("127.0.0.1", 80), "127.0.0.1", True),  # browsers leave port 80 out
    ("127.0.0.1:80", ("127.0.0.1", 80), "127.0.0.1", True),
    ("[::1]", ("::1", 80), "::1", True),
    ("192.168.1.5:8080", ("192.168.1.5", 8080), "0.0.0.0", True),  # of the interface in use
    ("192.168.1.5:8080", ("::ffff:192.168.1.5", 8080), "::", True),
    ("[fe80::1]:8080", ("fe80::1%eth0", 8080), "::", True),
    ("192.168.1.6:8080", ("192.168.1.5", 8080), "0.0.0.0", False),
    ("studio:8080", ("192.168.1.5", 8080), "studio", True),  # the name that the user gave
    ("studio:8080", ("192.168.1.5", 8080), "0.0.0.0", False),
    ("evil.example:8080", HERE, "127.0.0.1", False),
    ("evil.example:8080", ("192.168.1.5", 8080), "0.0.0.0", False),
    ("127.0.0.1.evil.example:8080", HERE, "127.0.0.1", False),
    ("localhost.evil.example:8080", HERE, "127.0.0.1", False),
    ("evil@127.0.0.1:8080", HERE, "127.0.0.1", False),
    ("127.0.0.1:8080:8080", HERE, "127.0.0.1", False),
    ("127.0.0.1:x", HERE, "127.0.0.1", False),
    ("", HERE, "127.0.0.1", False),
]


@pytest.mark.parametrize(("host", "here", "asked", "is_ours"), NAMES)
def test_names_of_this_server(host, here, asked, is_ours):
    assert access.is_named(host, here, asked) == is_ours


def test_port_80_answers():
    try:
        server = Server(80, "127.0.0.80")
    except InputError:
        pytest.skip("port 80 is not to be had")
    try:
        request = urllib.request.Request("http://127.0.0.80/status.json")
        assert urllib.request.urlopen(request, timeout=5).status == 200  # Host: 127.0.0.80
    finally:
        server.close()


@pytest.mark.parametrize("address", ["", " ", "not an address", "a..b"])
def test_an_address_that_is_none_is_refused_in_words(address, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror("unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(InputError, match=r"--serve-address: expected .*, got .*; choose 127"):
        Server(0, address)


MANY = [
    *("224.0.0.1", "239.255.255.250", "255.255.255.255", "127.255.255.255"),
    *("ff02::1", "ff00::", "::ffff:224.0.0.1", "::ffff:255.255.255.255"),
]


@pytest.mark.parametrize("address", MANY)
def test_an_address_of_many_machines_is_refused(address):
    said = r"--serve-address: expected .*, got .* stands for many machines; choose 127"
    with pytest.raises(InputError, match=said):
        access.bound_address(address)


def test_a_name_of_many_machines_is_refused(monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("224.0.0.251", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(InputError, match=r"got all\.example, which stands for many"):
        access.bound_address("all.example")


def test_addresses_of_one_machine_stay_as_they_are():
    for address in ("127.0.0.1", "0.0.0.0", "::", "::1", "192.0.2.1", "fe80::1%lo"):
        assert str(access.bound_address(address)) == address
    assert str(access.bound_address("::ffff:127.0.0.1")) == "127.0.0.1"


def test_an_address_of_another_machine_is_reported():
    with pytest.raises(InputError, match=r"--serve 0: expected a free port of 192\.0\.2\.1"):
        Server(0, "192.0.2.1")


@pytest.mark.parametrize("address", ["127.0.0.2", "::1", "localhost", "127.1"])
def test_other_addresses_of_loopback_need_no_token(address):
    try:
        server = Server(0, address)
    except InputError:
        pytest.skip(f"this machine has no {address}")
    try:
        assert server.url.endswith(f":{server.port}/")
        assert get(server, "status.json").status == 200
    finally:
        server.close()


def test_no_name_is_looked_up(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("looked up")

    for name in ("getfqdn", "getaddrinfo", "gethostbyaddr", "gethostbyname", "getnameinfo"):
        monkeypatch.setattr(socket, name, refuse)
    for address in ("127.0.0.1", "0.0.0.0"):
        Server(0, address).close()


def answers(server):
    """The headers of every kind of answer."""
    port = server.port
    requests = [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port,
        b"GET /stream.mjpg HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port,
        b"GET /picture.jpg HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port,
        b"GET /status.json HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port,
        b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port,
        b"GET / HTTP/1.1\r\nHost: evil.example\r\n",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nHost: 127.0.0.1:%d\r\n" % (port, port),
        b"POST /key?letter=r HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port,
        b"OPTIONS / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port,
        b"GET /%s HTTP/1.1\r\n" % (70000 * b"x"),
    ]
    for request in requests:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            peer.sendall(request + b"Connection: close\r\n\r\n")
            got = b""
            while b"\r\n\r\n" not in got and (more := peer.recv(65536)):
                got += more
            yield request.split(b"\r\n")[0], got.split(b"\r\n\r\n")[0].decode()


def test_every_answer_forbids_frames_and_guessing(server):
    server.write(picture(3), time.monotonic())
    codes = []
    for request, head in answers(server):
        codes.append(int(head.split()[1]))
        policies = re.findall(r"Content-Security-Policy: (.*)\r", head)
        assert len(policies) == 1 and "frame-ancestors 'none'" in policies[0], request
        assert "default-src 'none'" in policies[0] and "unsafe" not in policies[0]
        for line in ("X-Frame-Options: DENY", "X-Content-Type-Options: nosniff"):
            assert head.count(line) == 1, request
    assert codes == [200, 200, 200, 200, 404, 403, 403, 403, 200, 501, 414]


def test_the_page_s_own_script_and_style_are_allowed(server):
    answer = get(server, "")
    page, policy = answer.read().decode(), answer.headers["Content-Security-Policy"]
    for tag in ("script", "style"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert re.search(rf"{tag}-src 'sha256-{re.escape(digest)}'", policy)
    assert not re.search(r"<\w+[^>]* (on\w+|style)=", page)  # which the policy would not allow
