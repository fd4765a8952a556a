"""A network for samples of numbers followed by numbers of words, as tables with text next to numbers give them."""

import torch
from torch import Tensor, nn

SUMMARY = "perceptron over numbers and the mean word vector of a text"


def text_numbers(
    num_classes: int,
    input_shape: tuple[int, ...],
    *,
    numbers: int = 1,
    buckets: int = 4096,
    embedding: int = 32,
    hidden: list[int] | tuple[int, ...] = (64,),
) -> "TextNumbers":
    """Build the network for samples (F,): the first `numbers` are numbers, the others words, where 0 is no word.

    There are `buckets` learned word vectors; larger numbers of words use the vector of their remainder.
    """
    if len(input_shape) != 1 or not 0 < numbers < input_shape[0]:
        raise ValueError(f"samples of shape {input_shape}; expected more than the {numbers} numbers in one dimension")
    return TextNumbers(numbers, buckets, embedding, tuple(hidden), num_classes)


class TextNumbers(nn.Module):
    """The mean of the word vectors next to the numbers, linear layers with ReLU, then the linear `head`."""

    def __init__(self, numbers: int, buckets: int, embedding: int, hidden: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.numbers = numbers
        self.words = nn.Embedding(buckets, embedding, padding_idx=0)
        layers: list[nn.Module] = []
        size = numbers + embedding
        for width in hidden:
            layers += [nn.Linear(size, width), nn.ReLU()]
            size = width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(size, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        numbers = x[:, self.numbers :].long() % self.words.num_embeddings  # (B, T)
        is_word = (numbers > 0).unsqueeze(2)
        mean = (self.words(numbers) * is_word).sum(dim=1) / is_word.sum(dim=1).clamp(min=1)
        return self.head(self.layers(torch.cat([x[:, : self.numbers], mean], dim=1)))
