"""The request API with FastAPI's client: real animations, bad inputs, limits, tokens."""

import base64
import json
import time

import av
import pytest

pytest.importorskip("gradio", reason="the extra ui is not installed")

from fastapi.testclient import TestClient

from apps.studio import guard, server
from apps.terminal import example_source
from hybridanim.files import EXAMPLE_DRIVING

from .conftest import studio_context

HERE = "http://127.0.0.1:7860"
SHORT = {"end": 0.2, "size": 64}


@pytest.fixture
def client(context, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(context.uploads))
    return TestClient(server.make_app(context), base_url=HERE)


def files(source=None, driving=None):
    source = source or ("my face.png", example_source().read_bytes())
    driving = driving or ("driver.mp4", EXAMPLE_DRIVING.read_bytes())
    return {"source": source, "driving": driving}


def ended(client, answer, root=""):
    for _ in range(600):
        state = client.get(f"{root}/api/animations/{answer['id']}").json()
        if state["state"] in ("done", "failed", "cancelled"):
            return state
        time.sleep(0.1)
    raise AssertionError(state)


def test_submit_state_result(client, context):
    fields = {"options": json.dumps(SHORT), "consent": "true"}
    answer = client.post("/api/animations", data=fields, files=files())
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/animations/{answer.json()['id']}"
    state = ended(client, answer.json())
    assert (state["state"], state["frames"], state["frames_total"]) == ("done", 6, 6)
    assert state["result"]["frames"] == 6 and state["error"] is None
    result = client.get(f"/api/animations/{state['id']}/result")
    assert result.headers["content-type"] == "video/mp4"
    path = context.results / "got.mp4"
    path.write_bytes(result.content)
    with av.open(str(path)) as container:
        assert container.streams.video[0].width == 64
        assert "Generated" in container.metadata["comment"]
    assert (context.results / "my_face-driver.json").is_file(), "the record lies beside it"
    assert not any(context.uploads.glob("api-*")), "what was sent is gone"


def test_json_and_the_example(client):
    body = {"example": True, "options": SHORT, "format": "gif"}
    state = ended(client, client.post("/api/animations", json=body).json())
    assert state["state"] == "done" and state["result"]["output"].endswith(".gif")
    data = base64.b64encode(example_source().read_bytes()).decode()
    body = {"example": True, "source": {"name": "a.png", "base64": data}, "options": SHORT}
    state = ended(client, client.post("/api/animations", json=body).json())
    assert state["state"] == "done", "the example's picture needs no consent, whoever sends it"


def test_consent_is_asked_for_once_a_source(client):
    other = ("other.png", example_source().read_bytes() + b"\0")
    fields = {"options": json.dumps(SHORT)}
    refused = client.post("/api/animations", data=fields, files=files(other))
    assert refused.status_code == 422 and "consent" in refused.json()["error"]
    fields["consent"] = "true"
    first = client.post("/api/animations", data=fields, files=files(other))
    del fields["consent"]
    again = client.post("/api/animations", data=fields, files=files(other))
    assert (first.status_code, again.status_code) == (202, 202)
    ended(client, again.json())


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "source: expected a file, got none"),
        ({"example": True, "options": {"sise": 3}}, "did you mean size"),
        ({"example": True, "options": {"size": 3}}, "--size: expected 64 to 4096, got 3"),
        ({"example": True, "options": {"size": "big"}}, "--size: expected a whole number"),
        ({"example": True, "options": {"output": "/x.mp4"}}, "names a file of the server"),
        ({"example": True, "options": {"weights": "/etc/passwd"}}, "names a file of the server"),
        ({"example": True, "options": {"background": "/etc/passwd"}}, "name of a file"),
        ({"example": True, "options": []}, None),
        ({"example": True, "options": [1]}, "options: expected a JSON object"),
        ({"example": True, "format": "exe"}, "format: expected one of mp4"),
        ({"example": "perhaps"}, "example: expected true or false"),
        ({"exemple": True}, "did you mean example"),
        ({"source": "x", "driving": "y"}, "expected {"),
        ({"source": {"name": "a", "base64": "?"}}, "expected base64"),
        ([], "expected a JSON object"),
    ],
)
def test_bad_requests_get_one_line(client, context, body, text):
    if body == {"example": True, "options": []}:
        body["options"] = "{"
        text = "options: expected a JSON object"
    answer = client.post("/api/animations", json=body)
    assert answer.status_code == 422
    assert text in answer.json()["error"] and "\n" not in answer.json()["error"]
    assert not any(context.uploads.glob("api-*")) and list(context.results.iterdir()) == []


def test_bad_bodies(client):
    kind = {"content-type": "application/json"}
    assert client.post("/api/animations", content=b"{", headers=kind).status_code == 422
    assert client.post("/api/animations", content=b"x").status_code == 422
    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/api/animations", content=b"nothing", headers=kind).status_code in (
        400,
        422,
    )
    assert client.get("/api/animations/none").status_code == 404
    assert client.delete("/api/animations/none").status_code == 404


def test_a_text_file_as_the_source_fails_in_one_line(client):
    given = files(("a.png", b"hello"))
    answer = client.post("/api/animations", data={"consent": "true"}, files=given)
    state = ended(client, answer.json())
    assert state["state"] == "failed" and state["error"].startswith("source: expected")
    assert client.get(f"/api/animations/{state['id']}/result").status_code == 404


def test_names_cannot_leave_their_folder(client, context):
    given = files(("../../../evil.png", example_source().read_bytes()))
    answer = client.post(
        "/api/animations", data={"options": json.dumps(SHORT), "consent": "true"}, files=given
    )
    assert ended(client, answer.json())["state"] == "done"
    assert {path.name for path in context.results.iterdir()} == {
        "evil-driver.mp4",
        "evil-driver.json",
    }


def test_cancel(client):
    body = {"example": True, "options": {"size": 64}}
    answer = client.post("/api/animations", json=body).json()
    assert client.get(f"/api/animations/{answer['id']}/result").status_code == 409
    assert client.delete(f"/api/animations/{answer['id']}").status_code == 202
    assert ended(client, answer)["state"] == "cancelled"


def test_limits_of_size_and_of_waiting(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    context = studio_context(tmp_path, most_mb=1, most_waiting=0)
    client = TestClient(server.make_app(context), base_url=HERE)
    big = ("big.mp4", b"0" * 1_500_000)
    answer = client.post("/api/animations", data={"consent": "true"}, files=files(driving=big))
    assert answer.status_code == 413
    far = ("big.mp4", b"0" * 4_000_000)
    assert client.post("/api/animations", files=files(driving=far)).status_code == 413

    def endless():
        for _ in range(100):
            yield b"0" * 100_000

    monkeypatch.setattr(guard, "MOST_JSON_BYTES", 1000)
    kind = {"content-type": "application/json"}
    unknown = client.post("/api/animations", content=endless(), headers=kind)
    assert unknown.status_code == 413, "without Content-Length, as it comes"
    body = {"example": True, "options": {"size": 64}}
    first = client.post("/api/animations", json=body)
    second = client.post("/api/animations", json=body)
    assert (first.status_code, second.status_code) == (202, 429)
    context.queue.close()
    assert not any(context.uploads.glob("api-*"))


def test_a_token_where_others_reach_it(context, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(context.uploads))
    client = TestClient(server.make_app(context, "secret"), base_url=HERE)
    body = {"example": True, "options": SHORT}
    for path in ("/", "/api/animations", "/secreT/api/animations", "/gradio_api/info"):
        assert client.post(path, json=body).status_code == 403
    assert client.get("/secret/").status_code == 200
    state = client.post("/secret/api/animations", json=body)
    assert state.headers["location"].startswith("/secret/api/animations/")
    assert ended(client, state.json(), "/secret")["state"] == "done"


def test_other_pages_and_names_are_refused(client):
    assert client.get("/").status_code == 200
    for headers in (
        {"host": "evil.example"},
        {"host": "127.0.0.1:1"},
        {"origin": "http://evil.example"},
        {"sec-fetch-site": "cross-site"},
    ):
        answer = client.get("/", headers=headers)
        assert answer.status_code == 403
        assert "connect-src 'self'" in answer.headers["content-security-policy"]
