"""Backbones: images in, one feature map per stage out. Importing the package registers them."""

from jld.models.backbones.res2net import Res2Net
from jld.models.backbones.resnet import ResNet
from jld.models.backbones.swin import SwinTransformer

__all__ = ["Res2Net", "ResNet", "SwinTransformer"]
