from pathlib import Path

import pytest

from ch4grid.errors import InputError, RunError
from ch4grid.stores import Fingerprints, Workspace, sha256_file, write_atomic


def test_relative_paths_start_at_the_data_folder(tmp_path: Path) -> None:
    workspace = Workspace(data=tmp_path, output=tmp_path / "out")
    assert workspace.resolve("a/b.nc") == tmp_path / "a/b.nc"
    assert workspace.resolve("/a/b.nc") == Path("/a/b.nc")


def test_a_glob_finds_sorted_files_and_nothing_is_an_error_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "era5").mkdir()
    for name in ("b.nc", "a.nc"):
        (tmp_path / "era5" / name).touch()
    workspace = Workspace(data=tmp_path, output=tmp_path)
    assert [p.name for p in workspace.matches("era5/*.nc")] == ["a.nc", "b.nc"]
    with pytest.raises(InputError, match=r"era5/\*.grib: no such file"):
        workspace.matches("era5/*.grib")


def test_fingerprints_follow_the_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = Fingerprints(tmp_path / "memory.json").of([path])
    path.write_bytes(b"other")
    second = Fingerprints(tmp_path / "memory.json").of([path])
    assert second == {str(path): sha256_file(path)}
    assert first != second


def test_an_interrupted_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
