"""An LSTM that predicts one or several numbers from a window of past measurements."""

from torch import Tensor, nn

SUMMARY = "LSTM that predicts a number from a window of the past"


def lstm_forecast(
    num_classes: int, input_shape: tuple[int, int], *, hidden: int = 32, layers: int = 1, dropout: float = 0.0
) -> "LSTMForecast":
    """Build the network for samples (steps, features), the oldest step first."""
    _, features = input_shape
    return LSTMForecast(features, hidden, layers, dropout, num_classes)


class LSTMForecast(nn.Module):
    """An LSTM over the window, then the linear `head` on its last step."""

    def __init__(self, features: int, hidden: int, layers: int, dropout: float, num_classes: int) -> None:
        super().__init__()
        # torch applies dropout only between the layers of an LSTM, and warns if there is one layer.
        self.lstm = nn.LSTM(features, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        steps, _ = self.lstm(x)
        return self.head(self.dropout(steps[:, -1]))
