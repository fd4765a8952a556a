"""The ResNet-20 for small images of He et al. 2015 (arXiv 1512.03385, section 4.2): shortcuts without parameters."""

import torch.nn.functional as F
from torch import Tensor, nn

SUMMARY = "ResNet-20 for small images (He et al. 2015)"


def resnet20(num_classes: int, input_shape: tuple[int, int, int], *, width: int = 16) -> "ResNet20":
    """Build the network for images of `input_shape` (channels, height, width); `width` filters in the first stage."""
    return ResNet20(num_classes, input_shape[0], width)


class ResNet20(nn.Module):
    """A 3x3 convolution, three stages of three residual blocks (16, 32, 64 filters), mean over the map, one linear."""

    def __init__(self, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = stage(width, width, stride=1)
        self.layer2 = stage(width, 2 * width, stride=2)
        self.layer3 = stage(2 * width, 4 * width, stride=2)
        self.fc = nn.Linear(4 * width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015b (arXiv 1502.01852), as in the paper
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))  # (N, 4 * width, H / 4, W / 4)
        return self.fc(x.mean(dim=(2, 3)))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and the input added to them: subsampled and zero-padded where shapes differ (option A)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x[:, :, :: self.stride, :: self.stride]
        shortcut = F.pad(shortcut, (0, 0, 0, 0, self.new_channels // 2, self.new_channels - self.new_channels // 2))
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


def stage(in_channels: int, out_channels: int, *, stride: int, depth: int = 3) -> nn.Sequential:
    blocks = [BasicBlock(in_channels, out_channels, stride)]
    blocks += [BasicBlock(out_channels, out_channels, 1) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)
