"""Architectures that the package does not have: the stranger's ResNet-32 and a small vision transformer.

Named in manifests as `benchmarks.methods.architectures:NAME`, with `--allow-code`.
"""

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from unlearn_cli.models.resnet20 import stage


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
        self.layer1 = stage(16, 16, stride=1, depth=5)
        self.layer2 = stage(16, 32, stride=2, depth=5)
        self.layer3 = stage(32, 64, stride=2, depth=5)
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))  # (N, 64, H / 4, W / 4)
        return self.linear(x.mean(dim=(2, 3)))
