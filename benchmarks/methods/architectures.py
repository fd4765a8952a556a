"""Architectures that the package does not have: the stranger's ResNet-32 and a small vision transformer.

Named in manifests as `benchmarks.methods.architectures:NAME`, with `--allow-code`.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VisionTransformer


def resnet32(num_classes: int = 10) -> "ResNet32":
    """Build the ResNet-32 of He et al. 2015 with the tensor names of the checkpoint in shared/data/checkpoints."""
    return ResNet32(num_classes, 3)


def small_vit(num_classes: int = 100) -> VisionTransformer:
    """Build a vision transformer of 6 layers for 32x32 images, in patches of 4x4: less than 0.5 M parameters."""
    return VisionTransformer(
        image_size=32,
        patch_size=4,
        num_layers=6,
        num_heads=4,
        hidden_dim=96,
        mlp_dim=192,
        num_classes=num_classes,
    )


class ResNet32(nn.Module):
    """A 3x3 convolution, three stages of five residual blocks (16, 32, 64 filters), mean over the map, `linear`."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = make_stage(16, 16, stride=1)
        self.layer2 = make_stage(16, 32, stride=2)
        self.layer3 = make_stage(32, 64, stride=2)
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))  # (N, 64, H / 4, W / 4)
        return self.linear(x.mean(dim=(2, 3)))


class Block(nn.Module):
    """Two 3x3 convolutions and the input added to them: subsampled and zero-padded where shapes differ (option A)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride, self.padding = stride, (out_channels - in_channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.padding, self.padding))
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


def make_stage(in_channels: int, out_channels: int, *, stride: int) -> nn.Sequential:
    first = Block(in_channels, out_channels, stride)
    return nn.Sequential(first, *(Block(out_channels, out_channels, 1) for _ in range(4)))
