"""Which cameras a machine has."""

from apps.live import devices


def test_cameras_are_listed_by_name(tmp_path):
    for node, name, index in (
        ("video2", "Front", "0"),
        ("video3", "Front", "1"),
        ("video0", "X", "0"),
    ):
        (tmp_path / node).mkdir()
        (tmp_path / node / "name").write_text(name + "\n")
        (tmp_path / node / "index").write_text(index + "\n")
    found = devices.list_cameras("Linux", tmp_path)
    assert [(one.number, one.name) for one in found] == [(0, "X"), (2, "Front")]
    assert "--camera 2  Front" in "\n".join(devices.lines(found))
    assert "none" in devices.lines(devices.list_cameras("Linux", tmp_path / "no"))[0]
