from __future__ import annotations

import json

import pytest

from bequest.errors import RunFolderError
from bequest.files import (
    read_json,
    read_sealed,
    tidy,
    write_bytes,
    write_json,
    write_json_list,
    write_sealed,
    write_whole,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_bytes(tmp_path / "a.bin", b"old")

    def half(file):
        file.write(b"new, but only ha")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, half)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]


def test_a_full_disk_is_named(tmp_path):
    def full(file):
        raise OSError(28, "No space left on device")

    with pytest.raises(RunFolderError, match="No space left on device"):
        write_whole(tmp_path / "a.bin", full)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="cannot write"):
        write_bytes(tmp_path / "file" / "a.bin", b"x")


def test_partials_are_removed(tmp_path):
    (tmp_path / ".a.bin.xyz.part").write_bytes(b"half")
    write_json(tmp_path / "kept.json", {"a": 1})
    assert tidy(tmp_path) == 1
    assert read_json(tmp_path / "kept.json") == {"a": 1}


@pytest.mark.parametrize("write", [write_json, lambda path, value: write_json_list(path, [value])])
def test_nan_never_reaches_a_file(tmp_path, write):
    with pytest.raises(ValueError, match="JSON"):
        write(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "items", [[], [1], [{}], [[]], [{"a": [1, {"b": "x\ny"}], "é": None}, [], "\n", {"c": 1e-300}]]
)
def test_a_list_is_written_item_by_item_with_the_bytes_of_the_whole(tmp_path, items):
    whole = json.dumps(items, indent=1, ensure_ascii=False) + "\n"
    assert write_json(tmp_path / "a.json", items).read_bytes() == whole.encode()
    assert write_json_list(tmp_path / "b.json", iter(items)).read_bytes() == whole.encode()


def test_no_two_items_of_a_list_are_in_memory_at_once(tmp_path):
    class Item(dict):
        alive = 0

        def __init__(self):
            super().__init__(a=1)
            Item.alive += 1
            most.append(Item.alive)

        def __del__(self):
            Item.alive -= 1

    most = []
    write_json_list(tmp_path / "a.json", (Item() for _ in range(5)))
    assert len(most) == 5
    assert max(most) <= 2  # the next is made before the last one's name is bound anew


@pytest.mark.parametrize("content", ["{", "\xff", "1" * 5000, "[" * 100_000])
def test_unreadable_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_text(content, encoding="latin-1")
    with pytest.raises(RunFolderError, match=r"a\.json cannot be read as JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(RunFolderError, match="no such file"):
        read_json(tmp_path / "b.json")


def test_one_changed_character_of_sealed_json_is_damage(tmp_path):
    content = {"a": 0.1, "b": [1, None, "ä"], "c": {"d": True}}
    path = write_sealed(tmp_path / "a.json", content)
    text = path.read_text()
    assert read_sealed(path) == content
    path.write_text(text.replace("0.1", "0.2"))
    with pytest.raises(RunFolderError, match="is damaged, or was changed after it was written"):
        read_sealed(path)
    damages = 0
    for place in range(len(text)):
        for other in ("0", "x", ""):
            changed = text[:place] + other + text[place + 1 :]
            path.write_text(changed)
            try:
                same = json.loads(changed) == json.loads(text)  # the layout may change
            except ValueError:
                same = False
            try:
                whole = read_sealed(path)
            except RunFolderError:
                assert not same
                damages += 1
                continue
            # Without a seal there is a key that no record knows.
            assert whole == content if same else set(whole) - set(content), changed
    assert damages > len(text)


def test_json_without_a_seal_is_read_as_it_is(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    assert read_sealed(tmp_path / "a.json") == {"a": 1}
    write_json(tmp_path / "b.json", [1])
    assert read_sealed(tmp_path / "b.json") == [1]


def test_empty_folders_in_the_places_of_files_are_removed(tmp_path):
    (tmp_path / "a" / "record.json").mkdir(parents=True)
    (tmp_path / "a" / ".checked.json").mkdir()
    (tmp_path / "readings").mkdir()
    mine = tmp_path / "my.pictures"
    mine.mkdir()
    write_bytes(mine / "mine.png", b"x")
    (tmp_path / "half.json.part").mkdir()
    partial = tmp_path / ".a.bin.xyz.part"
    partial.write_bytes(b"half")
    assert tidy(tmp_path, partials=False) == 3
    assert partial.exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == sorted(
        ["a", "readings", "my.pictures", "mine.png", partial.name]
    )


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    (tmp_path / "record.json" / "mine").mkdir(parents=True)
    with pytest.raises(RunFolderError, match="move it away") as caught:
        write_json(tmp_path / "record.json", {})
    assert caught.value.got == "a folder of this name"
