"""The script that compares the speed of readers runs, and all readers read what it writes."""

from tests import reader_speed


def test_every_reader_has_a_row(capsys):
    assert reader_speed.main(["--images", "3", "--rounds", "1"]) == 0
    rows = [row.strip("| ").split(" | ") for row in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == list(reader_speed.READERS)
    assert all(float(row[1]) >= 0 and row[2:] == ["-", "-"] for row in rows)
