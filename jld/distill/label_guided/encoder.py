"""Objects' descriptors to embeddings: a PointNet whose points are the objects of an image.

Source: arXiv:2109.11496, label encoding; megvii-research/LGD, label_encoder.py.
"""

from __future__ import annotations

from jld.ops.group_norm import group_norm
from jld.toolchain import jittor as jt

nn = jt.nn


def normalised_relu(rows: jt.Var) -> jt.Var:
    """ReLU of rows [N, S, D] with mean 0 and deviation 1 each, without factor and shift."""
    # As a map of one channel: a row is then one stretch of the operator's.
    flat = rows.reshape(-1, 1, 1, rows.shape[-1])
    return group_norm(flat, jt.ones((1,)), jt.zeros((1,)), 1, relu=True).reshape(rows.shape)


class SpatialTransform(jt.Module):
    """x^T A(x), with a matrix A for every row x.

    As released, nothing keeps A orthogonal, and the identity is not added to it.
    Its last layer has 256 k^2 weights: with many classes the descriptors' transform is most of the teacher.

    Args:
        size: k, numbers in a row.
    """

    def __init__(self, size: int):
        self.size = size
        self.conv1, self.conv2, self.conv3 = nn.Linear(size, 64), nn.Linear(64, 128), nn.Linear(128, 1024)
        self.fc1, self.fc2, self.fc3 = nn.Linear(1024, 512), nn.Linear(512, 256), nn.Linear(256, size**2)

    def matrices(self, rows: jt.Var) -> jt.Var:
        """[N, S, k, k] the matrix of every row."""
        x = rows
        for layer in (self.conv1, self.conv2, self.conv3, self.fc1, self.fc2):
            x = normalised_relu(layer(x))
        return self.fc3(x).reshape(*rows.shape, self.size)

    def execute(self, rows: jt.Var) -> jt.Var:
        """[N, S, k] to the same."""
        return (rows.unsqueeze(3) * self.matrices(rows)).sum(2)


class LabelEncoder(jt.Module):
    """Embeddings of objects that know of each other: each row's own, joined with the maximum over its image.

    Args:
        descriptor_size: K, see `instances_of`.
        channels: D of the embeddings.
    """

    def __init__(self, descriptor_size: int, channels: int):
        self.stn_desc, self.stn_feat = SpatialTransform(descriptor_size), SpatialTransform(64)
        self.conv1, self.conv2 = nn.Linear(descriptor_size, 64), nn.Linear(64, 128)
        self.conv3, self.conv4 = nn.Linear(128, 1024), nn.Linear(1024 + 64, channels)

    def execute(self, descriptors: jt.Var, real: jt.Var) -> jt.Var:
        """[N, S, D] from descriptors [N, S, K]; rows of which `real` [N, S] is 0 influence no other."""
        own = normalised_relu(self.conv1(self.stn_desc(descriptors)))
        own = self.stn_feat(own)  # [N, S, 64]
        wide = normalised_relu(self.conv3(normalised_relu(self.conv2(own))))  # [N, S, 1024], nowhere below 0
        shared = largest(wide * real.unsqueeze(2)).unsqueeze(1)  # [N, 1, 1024]
        joined = jt.concat([own, shared.broadcast(wide)], dim=2)
        return normalised_relu(self.conv4(joined))


def largest(rows: jt.Var) -> jt.Var:
    """[N, D] maximum over S of [N, S, D]; equal maxima share the gradient, where Jittor's own repeats it."""
    holds = (rows == rows.max(1, keepdims=True)).float32().detach()
    return (rows * (holds / holds.sum(1, keepdims=True))).sum(1)
