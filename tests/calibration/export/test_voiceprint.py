"""The graph of voiceprints does what the published network does."""

from pathlib import Path

import numpy as np
import pytest
import torch

from calibration.export.voiceprint import read_published, voiceprint_graph
from engines.errors import AttuneError
from engines.onnx_session import open_session
from engines.voiceprint.model import MEL_BINS, PRINT_SIZE, WINDOW_FRAMES


class Published(torch.nn.Module):
    """Resemblyzer's network, as its paper and its source describe it."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(MEL_BINS, 256, 3, batch_first=True)
        self.linear = torch.nn.Linear(256, PRINT_SIZE)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        _, (last, _) = self.lstm(mel)
        print_: torch.Tensor = torch.relu(self.linear(last[-1]))
        return torch.nn.functional.normalize(print_, dim=1)


def test_it_equals_the_network_in_torch(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = Published().eval()
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(voiceprint_graph(dict(network.state_dict())).SerializeToString())
    mel = torch.rand(3, WINDOW_FRAMES, MEL_BINS)
    [found] = open_session(graph, 1, "").run(["print"], {"mel": mel.numpy()})
    with torch.no_grad():
        assert np.abs(found - network(mel).numpy()).max() < 1e-5


def test_another_file_than_the_published_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    torch.save({"model_state": {}}, path)
    with pytest.raises(AttuneError, match="is not the published file"):
        read_published(path)
