"""Makes the two .pth files beside it; needs PyTorch (2.13.0 was used), which no test does."""

import collections
from pathlib import Path

import torch


class Unknown:
    """A class that no reader has."""


def main() -> None:
    table = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {
        "plain": table.clone(),
        "transposed": table.t(),
        "columns": table[:, 1:3],
        "expanded": torch.tensor([[2.0], [3.0]]).expand(2, 5),
        "half": torch.tensor([1.5, -2.0]).half(),
        "bfloat": torch.tensor([1.5, -2.0, 3.140625]).bfloat16(),
        "double": torch.tensor([1e-300], dtype=torch.float64),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(7.0),
        "empty": torch.zeros(0, 3),
        "counter": torch.tensor(5),
        "parameter": torch.nn.Parameter(torch.full((2, 2), 3.0)),
        "complex": torch.zeros(2, dtype=torch.complex64),
    }
    tensors["tied"] = tensors["plain"]
    for kind in ("int8", "uint8", "int16", "int32", "int64"):
        tensors[kind] = torch.tensor([1, 2, 3]).to(getattr(torch, kind))
    state = collections.OrderedDict(("module." + name, values) for name, values in tensors.items())
    layer = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    meta = {
        "CLASSES": ("ship", "plane"),
        "epoch": 3,
        "config": Unknown(),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "raw": b"xyz",
        "size": torch.Size([1, 2]),
    }
    content = {"meta": meta, "state_dict": state, "optimizer": optimizer.state_dict()}
    folder = Path(__file__).parent
    torch.save(content, folder / "zip.pth")
    torch.save(content, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(layer, folder / "module.pth")


if __name__ == "__main__":
    main()
