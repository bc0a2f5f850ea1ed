"""LGD: the painter of instructive maps and the adapter, and training steps with and without them.

Parameter names are jld's. Rows are padded and all levels share one attention, where the released code loops
over images and levels.
Source: arXiv:2109.11496; megvii-research/LGD, dynamic_teacher.py and base_distillator.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from .assignment import Targets
from .losses import total
from .networks import load_state
from .retinanet import Outputs, RetinaNet, assign, make_anchors
from .scene import half_type, read_parts
from .tasks import OPTIMIZER, Tasks, untimed

HEADS = 8


def normalised_relu(rows: torch.Tensor) -> torch.Tensor:
    """[N, S, D] ReLU of rows with mean 0 and deviation 1."""
    return functional.relu(functional.layer_norm(rows, rows.shape[-1:]), inplace=True)


class SpatialTransform(nn.Module):
    """x^T A(x), a matrix for every row."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.conv1, self.conv2, self.conv3 = nn.Linear(size, 64), nn.Linear(64, 128), nn.Linear(128, 1024)
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, size**2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[N, S, k] to the same."""
        x = rows
        for layer in (self.conv1, self.conv2, self.conv3, self.fc1, self.fc2):
            x = normalised_relu(layer(x))
        return (rows.unsqueeze(2) @ self.fc3(x).unflatten(2, (self.size, self.size))).squeeze(2)


class LabelEncoder(nn.Module):
    """Embeddings of objects: each row's own, joined with the maximum over its image."""

    def __init__(self, size: int, channels: int):
        super().__init__()
        self.stn_desc, self.stn_feat = SpatialTransform(size), SpatialTransform(64)
        self.conv1, self.conv2 = nn.Linear(size, 64), nn.Linear(64, 128)
        self.conv3, self.conv4 = nn.Linear(128, 1024), nn.Linear(1024 + 64, channels)

    def forward(self, descriptors: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """[N, S, D] from descriptors [N, S, K] and which rows are real [N, S]."""
        own = self.stn_feat(normalised_relu(self.conv1(self.stn_desc(descriptors))))
        wide = normalised_relu(self.conv3(normalised_relu(self.conv2(own))))
        shared = wide.masked_fill(~real.unsqueeze(2), 0.0).amax(1, keepdim=True).expand_as(wide)
        return normalised_relu(self.conv4(torch.cat([own, shared], 2)))


class Appearance(nn.Module):
    """Means of a convolved, normalised map over the cells of each object."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        """[N, S, D] from a map [N, D, H, W] and cells [N, S, H, W]."""
        encoded = functional.relu(functional.group_norm(self.conv(x), 1), inplace=True)
        sums = cells.flatten(2) @ encoded.flatten(2).transpose(1, 2)
        return sums / cells.flatten(2).sum(2, keepdim=True).clamp(min=1)


class Mapper(nn.Module):
    """Objects' vectors painted into their cells, then refined."""

    def __init__(self, channels: int):
        super().__init__()
        self.object_proj, self.context_proj = (nn.Linear(channels, channels) for _ in range(2))
        self.object_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.refinement = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))

    def forward(self, rows: torch.Tensor, cells: torch.Tensor, paints: torch.Tensor) -> torch.Tensor:
        """[N, D, H, W] from rows [N, S, D], cells [N, S, H, W] and which rows are painted [N, S]."""
        vectors = (self.object_proj(rows) * paints.unsqueeze(2)).transpose(1, 2)
        x = self.object_conv((vectors @ cells.flatten(2)).unflatten(2, cells.shape[2:]))
        x = functional.relu(x + self.context_proj(rows[:, -1])[:, :, None, None], inplace=True)
        for index, conv in enumerate(self.refinement):
            x = functional.group_norm(conv(x), 1)
            x = functional.relu(x, inplace=True) if index < len(self.refinement) - 1 else x
        return x


class Painter(nn.Module):
    """From objects and the student's maps to the instructive maps."""

    def __init__(self, size: int, channels: int):
        super().__init__()
        self.encoder, self.value_proj = LabelEncoder(size, channels), nn.Linear(channels, channels)
        self.appearance, self.mapper = Appearance(channels), Mapper(channels)
        self.attention = nn.MultiheadAttention(channels, HEADS, batch_first=True)

    def values(self, descriptors: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
        """[N, S, D] what the labels say of every row."""
        return normalised_relu(self.value_proj(self.encoder(descriptors, real)))

    def related(
        self,
        values: torch.Tensor,
        maps: Sequence[torch.Tensor],
        cells: Sequence[torch.Tensor],
        real: torch.Tensor,
    ) -> Sequence[torch.Tensor]:
        """[N, S, D] of every level, levels as further images of one attention."""
        levels = len(maps)
        query = torch.cat([self.appearance(*pair) for pair in zip(maps, cells)])
        values, hidden = values.repeat(levels, 1, 1), ~real.repeat(levels, 1)
        return self.attention(query, values, values, hidden, need_weights=False)[0].chunk(levels)


class Instances:
    """Rows of a batch, the last of each image its context; see `instances_of` of jld.

    Attributes:
        descriptors: [N, S, K].
        real, paints: [N, S].
    """

    def __init__(self, targets: Targets, num_classes: int, height: int, width: int):
        whole = targets.boxes.new_tensor([0, 0, width - 1, height - 1]).expand(len(targets.boxes), 1, 4)
        limits = targets.boxes.new_tensor([width - 1, height - 1, width - 1, height - 1])
        empty = ~targets.mask.any(1)
        whole = torch.where(empty[:, None, None], whole.new_tensor([0, 0, 1, 1]), whole)
        self.boxes = torch.cat([targets.boxes.clamp(min=0).minimum(limits), whole], 1)
        classes = functional.one_hot(targets.labels, num_classes) * targets.mask.unsqueeze(2)
        classes = functional.pad(classes, (0, 0, 0, 1))
        self.size = (height, width)
        shares = self.boxes / self.boxes.new_tensor([width, height, width, height])
        self.descriptors = torch.cat([shares, classes], 2) * 2 - 1
        self.real = functional.pad(targets.mask, (0, 1), value=True)
        self.paints = functional.pad(targets.mask, (0, 1))

    def cells(self, height: int, width: int) -> torch.Tensor:
        """[N, S, height, width] 1 where a cell belongs to the row."""
        inside = []
        for low, cells, px in ((0, width, self.size[1]), (1, height, self.size[0])):
            start, stop = (self.boxes[:, :, side, None] * (cells / px) for side in (low, low + 2))
            places = torch.arange(cells, device=start.device)
            # No cell at 0 / 0.
            inside.append((places - (start + stop) / 2).abs() / (stop - start) <= 0.5)
        return (inside[1].unsqueeze(3) & inside[0].unsqueeze(2)).float()


class LabelGuided(nn.Module):
    """What learns beside the student: the painter and the adapter."""

    def __init__(self, size: int, channels: int):
        super().__init__()
        convs = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3)]
        adapter = nn.Sequential(convs[0], nn.ReLU(True), convs[1], nn.ReLU(True), convs[2])
        self.teacher = nn.ModuleDict({"painter": Painter(size, channels)})
        self.loss_distill = nn.ModuleDict({"adapter": adapter})

    def term(self, maps: Sequence[torch.Tensor], painted: Sequence[torch.Tensor]) -> torch.Tensor:
        """Mean squared difference of instance-normalised maps, over all levels."""
        count = sum(x.numel() for x in painted)
        errors = []
        for x, wanted in zip(maps, painted):
            x = functional.instance_norm(self.loss_distill["adapter"](x.float()))
            wanted = functional.instance_norm(wanted.detach().float())
            errors.append(functional.mse_loss(x, wanted, reduction="sum"))
        return total(errors) / count


class LabelGuidedTasks(Tasks):
    """RetinaNet with LGD, in each of its phases, and without."""

    def __init__(self, given: dict[str, Any]):
        device, parts = given["device"], read_parts(given)
        self.batch, self.num_classes = parts["batch"], given["num_classes"]
        sizes = (given["base_channels"], given["head_channels"], self.num_classes)
        self.student = RetinaNet(given["student_depth"], *sizes)
        self.helper = LabelGuided(4 + self.num_classes, given["head_channels"])
        self.layout = torch.channels_last if given["channels_last"] else torch.contiguous_format
        self.half = half_type(given)
        self.scaler = torch.amp.GradScaler(device, enabled=self.half is torch.float16)
        for part, name in ((self.student, "student"), (self.helper, "teacher")):
            load_state(part, {key: torch.from_numpy(array) for key, array in parts[name].items()})
            part.to(device, memory_format=self.layout).eval()
        params = [*self.student.parameters(), *self.helper.parameters()]
        self.optimizer = torch.optim.SGD([p for p in params if p.requires_grad], **OPTIMIZER)
        self.resting = [p for p in self.student.backbone.parameters() if p.requires_grad]
        self.images = torch.from_numpy(self.batch["images"])
        about = {
            "channels last": given["channels_last"],
            "training in": str(self.half or torch.float32).removeprefix("torch."),
        }
        super().__init__(device, given["product_side"], about)
        self.staged = self._step
        self.asked["losses"] = lambda: {name: value.item() for name, value in self._losses().items()}
        self.timed |= {
            "step": self._step,
            "step, term off": lambda: self._step(acts=False),
            "step, term off, backbone rests": self._first_phase,
            "step without distillation": lambda: self._step(helped=False),
        }

    def _first_phase(self) -> None:
        for parameter in self.resting:
            parameter.requires_grad_(False)
        self._step(acts=False)
        for parameter in self.resting:
            parameter.requires_grad_(True)

    def _step(self, run: Callable = untimed, *, acts: bool = True, helped: bool = True) -> None:
        losses = self._losses(run, acts=acts, helped=helped)
        self.optimizer.zero_grad()
        run("backward", lambda: self.scaler.scale(total(list(losses.values()))).backward())
        run("optimizer", self._update)

    def _update(self) -> None:
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _losses(
        self, run: Callable = untimed, *, acts: bool = True, helped: bool = True
    ) -> dict[str, torch.Tensor]:
        images, targets = run("batch to device", self._on_device)
        with torch.autocast(self.device, self.half, enabled=self.half is not None):
            maps = run("features", lambda: self.student.features(images))
            outputs, assignment = run("head, assignment", lambda: self._predict(maps, targets))
            if helped:
                painted = self._painted(run, maps, targets)
                taught = run("second head pass", lambda: self.student.predict(painted))
        losses = run("task losses", lambda: self.student.losses(outputs, assignment))
        if not helped:
            return losses
        own = run("task losses of painted maps", lambda: self.student.losses(taught, assignment))
        seen = maps if acts else [x.detach() for x in maps]
        term = run("distillation term", lambda: self.helper.term(seen, painted))
        return losses | {f"{name}.tea": value for name, value in own.items()} | {"loss_distill": term}

    def _painted(self, run: Callable, maps: Sequence[torch.Tensor], targets: Targets) -> list[torch.Tensor]:
        painter = self.helper.teacher["painter"]
        instances = Instances(targets, self.num_classes, *self.images.shape[2:])
        values = run("label encoder", lambda: painter.values(instances.descriptors, instances.real))
        cells = [instances.cells(*x.shape[2:]) for x in maps]
        rows = run("objects related", lambda: painter.related(values, maps, cells, instances.real))
        return run(
            "knowledge mapper",
            lambda: [painter.mapper(*pair, instances.paints) for pair in zip(rows, cells)],
        )

    def _predict(self, maps: Sequence[torch.Tensor], targets: Targets) -> tuple[Outputs, Any]:
        anchors = make_anchors(*self.images.shape[2:], self.device)
        return self.student.predict(maps), assign(anchors, targets, self.num_classes)

    def _on_device(self) -> tuple[torch.Tensor, Targets]:
        boxes, labels, mask, pads = (
            torch.from_numpy(self.batch[key]).to(self.device)
            for key in ("boxes", "labels", "box_mask", "pad_shapes")
        )
        images = self.images.to(self.device, non_blocking=True).contiguous(memory_format=self.layout)
        return images, Targets(boxes, labels.long(), mask > 0, pads)
