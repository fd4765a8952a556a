"""The all-convolutional network (Springenberg et al. 2015, arXiv 1412.6806), as in the zero-shot unlearning paper."""

import torch
from torch import Tensor, nn

SUMMARY = "all-convolutional with batch norm (Springenberg et al. 2015)"


def allcnn(num_classes: int, input_shape: tuple[int, int, int], *, width: int = 96) -> "AllCNN":
    """Build the network for images of `input_shape` (channels, height, width), of any size from 4x4 up."""
    return AllCNN(num_classes, input_shape[0], width)


class AllCNN(nn.Module):
    """Eight convolutions with batch norm and ReLU, two of them of stride 2; mean over the map; one linear layer."""

    def __init__(self, num_classes: int, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = convolution(in_channels, width)
        self.conv2 = convolution(width, width)
        self.conv3 = convolution(width, 2 * width, stride=2)
        self.conv4 = convolution(2 * width, 2 * width)
        self.conv5 = convolution(2 * width, 2 * width)
        self.conv6 = convolution(2 * width, 2 * width, stride=2)
        self.conv7 = convolution(2 * width, 2 * width)
        self.conv8 = convolution(2 * width, 2 * width, kernel=1)
        self.classifier = nn.Linear(2 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv3(self.conv2(self.conv1(x)))
        x = self.conv6(self.conv5(self.conv4(x)))
        x = self.conv8(self.conv7(x))  # (N, 2 * width, H / 4, W / 4)
        return self.classifier(torch.mean(x, dim=(2, 3)))


def convolution(in_channels: int, out_channels: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
