"""How a rank of several says that it has failed; no MPI and no Jittor are needed for that."""

import os
import subprocess
import sys

from tests.cli.tiny_config import ROOT


def test_a_failing_rank_names_itself_and_ends_with_the_code_of_the_error(tmp_path):
    environment = {**os.environ, "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2"}
    command = [sys.executable, "-m", "jld", "--config-file", str(tmp_path / "none.py")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert "none.py" in lines[0] and lines[-1] == "jld: rank 2 of 4 has failed and ends the job."
