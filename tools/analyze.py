"""Shows where a run errs, and what another run changed: tables, figures, example images.

Usage: python tools/analyze.py work_dirs/student_ld --against work_dirs/student
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from jld.apis.analyze import main

if __name__ == "__main__":
    sys.exit(main())
