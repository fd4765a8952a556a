"""LeNet-5 (LeCun et al. 1998, section II.B) with ReLU and max pooling, as it is used today."""

import torch.nn.functional as F
from torch import Tensor, nn

SUMMARY = "LeNet-5 with ReLU and max pooling (LeCun et al. 1998)"


def lenet5(num_classes: int, input_shape: tuple[int, int, int]) -> "LeNet5":
    """Build the network for `input_shape` (channels, height, width), 20x20 or larger; 28x28 is padded to 32x32."""
    return LeNet5(num_classes, input_shape)


class LeNet5(nn.Module):
    """Two 5x5 convolutions, each followed by 2x2 pooling, then linear layers of 120, 84 and `num_classes` outputs."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, height, width = input_shape
        padding = 2 if min(height, width) < 32 else 0
        self.conv1 = nn.Conv2d(channels, 6, 5, padding=padding)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * pooled(height, padding) * pooled(width, padding), 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


def pooled(size: int, padding: int) -> int:
    """Return the side of the map after both convolutions (each removes 4 pixels) and poolings (each halves it)."""
    return ((size + 2 * padding - 4) // 2 - 4) // 2
