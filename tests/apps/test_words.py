"""First words that are no files, addresses, and sources that are no pictures."""

import pytest

from apps import main, words
from apps.sources import source_picture
from hybridanim import extras
from hybridanim.errors import InputError
from hybridanim.files import EXAMPLE_DRIVING


def refused(capsys, *argv) -> str:
    try:
        code = main.main(list(argv))
    except SystemExit as end:
        code = end.code
    assert code == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["skin"], "python -m calibration.skin"),
        (["skin-prior", "x", "--output", "y"], "python -m calibration.skin_prior"),
        (["trian", "--data", "x"], "did you mean python run_pipeline.py train?"),
        (["Doctor"], "did you mean python run_pipeline.py doctor?"),
        (["exprot", "x"], "did you mean python run_pipeline.py export?"),
        (["help"], "did you mean python run_pipeline.py --help?"),
        (["animate"], "run_pipeline.py --help lists them"),
        (["animate", "--size", "5"], "run_pipeline.py --help lists them"),
    ],
)
def test_an_unknown_command_is_named_with_what_may_be_meant(
    argv, said, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(main, "COMMAND", "python run_pipeline.py")
    text = refused(capsys, *argv)
    assert f"unknown command '{argv[0]}'" in text and said in text
    assert ", ".join(main.SUBCOMMANDS) in text


@pytest.mark.parametrize("name", ["skin", "trian", "help", "animate"])
def test_a_file_of_such_a_name_is_a_source(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("")
    words.refuse_unknown_command([name, "b.mp4"], main.SUBCOMMANDS, "x")


@pytest.mark.parametrize(
    "argv", [["a.png"], ["folder/a"], ["./skin"], ["portrait", "b.mp4"], ["--size", "5"], []]
)
def test_what_may_be_a_file_is_left_to_the_reader(argv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words.refuse_unknown_command(argv, main.SUBCOMMANDS, "x")


@pytest.mark.parametrize(
    ("argv", "shown", "hint"),
    [
        (["https://a.b/c/d.mp4", "x.mp4"], "https://a.b/c/d.mp4", "download it first"),
        (["a.png", "rtsp://me:secret@cam:1/x?key=secret"], "rtsp://cam:1/x", "download"),
        (["a.png", "b.mp4", "--output=s3://bucket/o.mp4"], "s3://bucket/o.mp4", "download"),
        (["live", "http://a.b/c.png"], "http://a.b/c.png", "download"),
        (["evaluate", "https://a.b/c"], "https://a.b/c", "download"),
        (["train", "--data", "https://a.b/c"], "https://a.b/c", "download"),
        (["file:///tmp/a%20b.png", "b.mp4"], "file:///tmp/a%20b.png", "give /tmp/a b.png"),
    ],
)
def test_an_address_is_named_as_it_was_given_without_its_secrets(argv, shown, hint, capsys):
    text = refused(capsys, *argv)
    assert f"got the address {shown};" in text and hint in text and "secret" not in text


def test_a_camera_may_be_an_address():
    words.refuse_addresses(["live", "a.png", "--camera", "http://x/y", "--serve", "0"])
    words.refuse_addresses(["live", "a.png", "--camera=http://x/y"])
    with pytest.raises(InputError):
        words.refuse_addresses(["live", "http://x/y", "--camera", "0"])


@pytest.mark.parametrize("name", ["README", "README.md", "notes.mp4"])
@pytest.mark.parametrize("text", ["# Title\n" * 3, "Ärger\n" * 2000])
def test_a_text_file_as_source(name, text, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        source_picture(tmp_path / name)
    said = str(caught.value)
    assert "expected a picture or a video" in said and f"{name}, a text file" in said
    assert "driving" not in said


def test_no_message_about_a_source_speaks_of_the_driving_video(tmp_path):
    (tmp_path / "a.mp4").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "b.mp4").write_bytes(b"")
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    for name, time_s in (("a.mp4", 0), ("b.mp4", 0), ("c.png", 0), ("d.png", 0), (".", 0)):
        with pytest.raises(InputError) as caught:
            source_picture(tmp_path / name, time_s)
        said = str(caught.value)
        assert said.startswith("source") and "driving" not in said and "folder of" not in said
    with pytest.raises(InputError, match="--source-time"):
        source_picture(EXAMPLE_DRIVING, 500.0)


def test_doctor_has_a_help(capsys):
    with pytest.raises(SystemExit) as end:
        main.main(["doctor", "--help"])
    assert end.value.code == 0 and "what this machine can do" in capsys.readouterr().out


def test_every_command_has_a_help(capsys):
    for name in main.SUBCOMMANDS:
        with pytest.raises(SystemExit) as end:
            main.main([name, "--help"])
        assert end.value.code == 0 and "usage:" in capsys.readouterr().out


def test_the_version(capsys):
    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out.strip().startswith("hybridanim 0.")


def test_export_without_onnx_says_how_to_get_it_at_once(capsys, monkeypatch, tmp_path):
    find = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "onnx" else find(name))
    text = refused(capsys, "export", "--out", str(tmp_path / "x"), "--weights", "none")
    assert 'pip install "hybridanim[export]"' in text, "before the weights are looked at"
    assert not list(tmp_path.iterdir())
