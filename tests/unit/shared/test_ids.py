"""Ids sort by time and name bytes."""

import uuid

from shared import ids


def test_new_ids_are_version_7_and_sort_by_the_time_they_were_made(monkeypatch) -> None:
    made = []
    for milliseconds in (1, 2, 1_700_000_000_000, 1_700_000_000_001):
        monkeypatch.setattr("time.time_ns", lambda milliseconds=milliseconds: milliseconds * 1_000_000)
        made.append(ids.new_id())
    assert made == sorted(made)
    assert all(uuid.UUID(text).version == 7 and uuid.UUID(text).variant == uuid.RFC_4122 for text in made)
    assert uuid.UUID(made[2]).int >> 80 == 1_700_000_000_000


def test_ids_made_in_one_millisecond_differ(monkeypatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 5)
    assert len({ids.new_id() for _ in range(1000)}) == 1000


def test_an_image_is_named_by_its_bytes() -> None:
    assert ids.image_id(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert ids.IMAGE_ID.fullmatch(ids.image_id(b"x"))


def test_only_canonical_uuids_are_ids() -> None:
    assert ids.is_uuid(ids.new_id())
    for text in ("", "x", "../../etc/passwd", ids.new_id().upper(), ids.new_id().replace("-", "")):
        assert not ids.is_uuid(text)
