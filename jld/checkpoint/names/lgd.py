"""Files of label-guided distillation (megvii-research/LGD): the painter of the teacher in our names.

Source: models/customized_detectors/dynamic_teacher of that repository.
"""

from __future__ import annotations

import numpy as np

from jld.checkpoint.names.rules import Rules, State, apply_rules

TEACHER = "teacher."
PAINTER_RENAMES: Rules = (
    (r"^label_encoder_\.", "encoder."),
    (r"^canoni_proj_1D\.0\.0\.", "value_proj."),
    (r"^student_proj_2D\.0\.0\.", "appearance.conv."),
    (r"^multi_head_attn\.", "attention."),
    (r"^local_inst_proj_1D\.", "mapper.object_proj."),
    (r"^local_inst_proj_2D\.", "mapper.object_conv."),
    (r"^global_ctx_proj_1D\.", "mapper.context_proj."),
    (r"^refinement_module\.0\.", "mapper.refinement.0."),
    (r"^refinement_module\.3\.", "mapper.refinement.1."),
    (r"^refinement_module\.6\.", "mapper.refinement.2."),
)


def painter_part(state: State) -> dict[str, np.ndarray]:
    """The label-guided teacher in a file's state, in the names and shapes of our `LabelPainter`.

    Its layers on single objects are convolutions of length one in the file and linear layers here.
    """
    found = {}
    for name, values in state.items():
        if name.startswith(TEACHER):
            mapped = apply_rules(name.removeprefix(TEACHER), (), PAINTER_RENAMES)
            if mapped.name is not None:
                found[mapped.name] = values[:, :, 0] if values.ndim == 3 else values
    return found
