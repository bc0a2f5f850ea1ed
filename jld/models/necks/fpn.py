"""Feature pyramid network.

Source: arXiv:1612.03144; extra levels from the input as in arXiv:1708.02002, from the output as in
arXiv:1904.01355.
"""

from __future__ import annotations

from collections.abc import Sequence

from jld.errors import ConfigError, one_of, suggestion
from jld.models.layers import XAVIERS, ConvModule
from jld.registry import NECKS
from jld.toolchain import jittor as jt

nn = jt.nn

EXTRA_SOURCES = ("on_input", "on_lateral", "on_output")


def upsample_like(x: jt.Var, finer: jt.Var) -> jt.Var:
    """Nearest up-sampling by two to the exact size of the next finer map.

    Strided convolutions round up, so a side is 2h or 2h - 1; in both cases the nearest source of cell i is
    i // 2. The index expression holds no size, so maps of any size share one kernel.

    Args:
        x: [N, D, h, w]
        finer: [N, *, H, W] with H in {2h - 1, 2h} and W likewise.
    Raises:
        ValueError: `finer` is not twice as large.
    """
    for small, large in zip(x.shape[2:], finer.shape[2:], strict=True):
        if (large + 1) // 2 != small:
            raise ValueError(f"the finer map {finer.shape[2:]} is not twice as large as {x.shape[2:]}.")
    return x.reindex([*x.shape[:2], *finer.shape[2:]], ["i0", "i1", "i2/2", "i3/2"])


@NECKS.register
class FPN(jt.Module):
    """Top-down pyramid: 1x1 laterals, nearest up-sampling and addition, 3x3 outputs, strided extra levels.

    Args:
        in_channels: channels of every backbone map, unused early ones included.
        out_channels: D of every output.
        num_outs: levels returned; beyond the backbone's they are made by stride.
        start_level: first backbone map that is used.
        add_extra_convs: where the first extra convolution reads: "on_input" (last backbone map),
            "on_lateral", "on_output" (last pyramid map); True means "on_input"; False: extra levels are
            subsampled maps.
        relu_before_extra_convs: ReLU between the extra convolutions.
        init: initial weights: `xavier` (mmDetection) or `c2_xavier` (detectron2, cvpods), see XAVIERS.
    Raises:
        ConfigError: unknown source or init, or fewer outputs than backbone maps.
    Source: arXiv:1612.03144.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 256,
        *,
        num_outs: int = 5,
        start_level: int = 0,
        add_extra_convs: str | bool = False,
        relu_before_extra_convs: bool = False,
        init: str = "xavier",
    ):
        if add_extra_convs not in (*EXTRA_SOURCES, True, False):
            raise ConfigError(
                f"FPN add_extra_convs {add_extra_convs!r}: {suggestion(str(add_extra_convs), EXTRA_SOURCES)}"
            )
        one_of(init, XAVIERS, f"FPN init {init!r}")
        used = list(in_channels)[start_level:]
        if num_outs < len(used) or not used:
            raise ConfigError(
                f"FPN has {len(used)} backbone maps from start_level={start_level} but num_outs={num_outs}."
            )
        self.start_level, self.num_inputs, self.num_outs = start_level, len(in_channels), num_outs
        self.extra_source = "on_input" if add_extra_convs is True else add_extra_convs
        self.relu_before_extra_convs = relu_before_extra_convs
        self.out_channels = out_channels
        self.lateral_convs = nn.Sequential(*(ConvModule(channels, out_channels, 1) for channels in used))
        convs = [ConvModule(out_channels, out_channels, 3, padding=1) for _ in used]
        if self.extra_source:
            for extra in range(num_outs - len(used)):
                from_input = extra == 0 and self.extra_source == "on_input"
                channels = used[-1] if from_input else out_channels
                convs.append(ConvModule(channels, out_channels, 3, stride=2, padding=1))
        self.fpn_convs = nn.Sequential(*convs)
        for module in (*self.lateral_convs, *self.fpn_convs):
            XAVIERS[init](module.conv)

    def execute(self, maps: Sequence[jt.Var]) -> tuple[jt.Var, ...]:
        """`num_outs` maps [N, D, H_l, W_l], fine to coarse, from the backbone's maps.

        Raises:
            ValueError: another number of maps than `in_channels` says.
        """
        if len(maps) != self.num_inputs:
            raise ValueError(f"FPN was built for {self.num_inputs} backbone maps and got {len(maps)}.")
        used = maps[self.start_level :]
        laterals = [conv(x) for conv, x in zip(self.lateral_convs, used, strict=True)]
        for level in range(len(laterals) - 1, 0, -1):
            laterals[level - 1] = laterals[level - 1] + upsample_like(laterals[level], laterals[level - 1])
        convs = list(self.fpn_convs)
        outs = [conv(x) for conv, x in zip(convs, laterals, strict=False)]
        sources = {"on_input": used[-1], "on_lateral": laterals[-1], "on_output": outs[-1]}
        for extra in range(self.num_outs - len(used)):
            if not self.extra_source:
                outs.append(outs[-1][:, :, ::2, ::2])
                continue
            source = sources[self.extra_source] if extra == 0 else outs[-1]
            if extra > 0 and self.relu_before_extra_convs:
                source = nn.relu(source)
            outs.append(convs[len(used) + extra](source))
        return tuple(outs)
