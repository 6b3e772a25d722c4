"""Files that people hand over at the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.command_line.errors import WrongUsage
from local.command_line.pair_files import lines_of, rows_of


def test_a_file_as_excel_saves_it_is_read(tmp_path: Path) -> None:
    """With the mark at its beginning, blanks and empty lines."""
    path = tmp_path / "keys.csv"
    path.write_bytes(b"\xef\xbb\xbf100001 , x\r\n\r\n100002,y\r\n")
    assert lines_of(path, "--file", 2) == [["100001", "x"], ["100002", "y"]]


@pytest.mark.parametrize("content", [b"100001\nM\xfcller\n", b"100001\r\n100\x00\r\n\xff"], ids=["windows", "no text"])
def test_a_file_of_another_encoding_is_told(tmp_path: Path, content: bytes) -> None:
    """Without what stands in it."""
    path = tmp_path / "keys.csv"
    path.write_bytes(content)
    with pytest.raises(WrongUsage, match="--file cannot be read: save it as CSV in UTF-8") as wrong:
        rows_of(path, "--file")
    assert "ller" not in str(wrong.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="--file cannot be read"):
        rows_of(tmp_path / "nothing.csv", "--file")
