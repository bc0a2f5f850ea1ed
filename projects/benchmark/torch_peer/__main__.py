"""The program that jld's benchmark talks to: python -m torch_peer '{"device": "cpu", ...}'

The argument holds jld's settings, `device`, `threads`, `channels_last`, whether networks are `compiled`, the
`product_side` of a matrix product and the path `scene` of models and batch; its `detector` says what is
measured, its `library` by whose code. First it prints what it is; then every line of its input is a request
such as {"task": "step", "count": 5}, answered by one line of JSON: {"failure": why} where `torch.compile`
failed. It ends with its input.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from .label_guided import LabelGuidedTasks
from .tasks import DistillationTasks, Tasks

MOST_OF_A_REASON = 200


def tasks_of(given: dict[str, Any]) -> Tasks:
    """What can be asked for; torchvision and mmDetection are imported where they are needed."""
    if given["detector"] == "gfl":
        return DistillationTasks(given)
    if given["detector"] == "rois":
        from .rois import RoITasks

        return RoITasks(given)
    if given["detector"] == "lgd_retinanet":
        return LabelGuidedTasks(given)
    if given["library"] == "mmdet":
        from .mmdetection import MMDetTasks

        return MMDetTasks(given)
    from .two_stage import TwoStageTasks

    return TwoStageTasks(given)


def main(text: str) -> None:
    """Answers requests."""
    # Answers have the pipe for themselves: whatever else prints goes to stderr.
    answers, sys.stdout = sys.stdout, sys.stderr
    given = json.loads(text)
    torch.set_num_threads(given["threads"])
    is_cuda = given["device"] == "cuda"
    torch.backends.cudnn.benchmark = is_cuda
    tasks = tasks_of(given)
    about = {"version": torch.__version__, "threads": torch.get_num_threads()} | tasks.about
    if is_cuda:
        about["convolutions in TF32"] = torch.backends.cudnn.allow_tf32
    print(json.dumps(about), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(reply(tasks, json.loads(line), given["compiled"])), file=answers, flush=True)


def reply(tasks: Tasks, request: dict[str, Any], is_compiled: bool) -> dict[str, Any]:
    """The answer, or {"failure": reason in one line} of compiled networks."""
    try:
        return tasks.answer(**request)
    except Exception as error:  # a compiler, a driver, a cache: anything may be in its way
        if not is_compiled:
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return {"failure": f"{type(error).__name__}: {' '.join(lines)[:MOST_OF_A_REASON]}"}


if __name__ == "__main__":
    main(sys.argv[1])
