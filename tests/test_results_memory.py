"""The script that measures the memory of masks runs, and notices too much of it."""

from tests import results_memory


def test_a_small_evaluation_is_measured(capsys):
    # The peak is that of this process, which other tests may have filled.
    assert results_memory.main(["--images", "3", "--masks", "4", "--limit", "1000000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:4]] == ["start", "12 masks found"]
    assert '"segm_AP"' in lines[-1]
    assert results_memory.main(["--images", "1", "--masks", "1", "--limit", "1"]) == 1
