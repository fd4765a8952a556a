"""The bundled architectures: a table of names, one file each. No torch here: manifests are checked against it."""

TABLE: dict[str, str] = {
    "allcnn": "all-convolutional with batch norm (Springenberg et al. 2015)",
    "lenet5": "LeNet-5 with ReLU and max pooling (LeCun et al. 1998)",
    "lstm_forecast": "LSTM that foretells a number from a window of the past",
    "lstm_pair": "LSTM that compares two sentences of word numbers",
    "mlp": "multi-layer perceptron for tables",
    "resnet20": "ResNet-20 for small images (He et al. 2015)",
}
