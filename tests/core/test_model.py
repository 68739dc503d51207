"""hwrlib.model: shapes, sizes, the registry, and lines that do not disturb each other."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hwrlib.model import ARCHITECTURES, CRNN, BiLSTM, ColumnMax, FeatureDropout, Parts


def baseline(num_classes: int) -> CRNN:
    return CRNN(num_classes, architecture="baseline")


def parameters_of(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def settled(model: CRNN, height: int) -> CRNN:
    """The model in evaluation mode, its batch normalisation used to random ink."""
    torch.manual_seed(0)
    model.train()
    with torch.no_grad():
        for _ in range(10):
            model((torch.rand(4, 1, height, 64) > 0.9).float(), torch.full((4,), 64))
    return model.eval()


# The baseline --------------------------------------------------------------------------------------------------------


def test_baseline_layer_by_layer():
    model, shapes = CRNN(96, architecture="baseline").eval(), []
    stages = (model.cnn.stage1, model.cnn.stage2, model.cnn.stage3)
    layers = [*(layer for stage in stages for layer in stage), model.cnn.columns, model.rnn, model.classifier]
    for layer in layers:
        layer.register_forward_hook(lambda layer, _, y: shapes.append((type(layer).__name__, tuple(y.shape))))
    with torch.inference_mode():
        log_probs = model(torch.zeros(2, 1, 64, 256), torch.tensor([256, 256])).log_probs
    assert shapes == [
        ("Conv2d", (2, 64, 64, 256)),
        ("ReLU", (2, 64, 64, 256)),
        ("MaxPool2d", (2, 64, 32, 128)),
        ("Conv2d", (2, 128, 32, 128)),
        ("ReLU", (2, 128, 32, 128)),
        ("MaxPool2d", (2, 128, 16, 64)),
        ("Conv2d", (2, 256, 16, 64)),
        ("ReLU", (2, 256, 16, 64)),
        ("MaxPool2d", (2, 256, 8, 32)),
        ("Flatten", (2, 2048, 32)),
        ("BiLSTM", (32, 2, 512)),
        ("Linear", (32, 2, 96)),
    ]
    assert log_probs.shape == (32, 2, 96)  # 32 frames for 256 px, 95 characters and the blank


def test_baseline_has_6_7_million_parameters():
    plain = nn.ModuleList(
        [
            nn.Conv2d(1, 64, 3),
            nn.Conv2d(64, 128, 3),
            nn.Conv2d(128, 256, 3),
            nn.LSTM(2048, 256, num_layers=2, bidirectional=True),
            nn.Linear(512, 96),
        ]
    )
    assert parameters_of(CRNN(96, architecture="baseline")) == parameters_of(plain) == 6_718_560


def test_ours_is_smaller():
    assert parameters_of(CRNN(96)) < 2_000_000


@pytest.mark.parametrize("model", [CRNN(7, width=8, hidden=6, dropout=0.1), baseline(7)], ids=["residual", "baseline"])
def test_arguments_build_the_same_model_again(model):
    again = CRNN(**model.arguments)
    again.load_state_dict(model.state_dict())
    assert again.arguments == model.arguments and again.stride == model.stride


# Frames --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model, height", [(CRNN(5, width=8, hidden=3), 16), (baseline(5), 64)], ids=["residual", "baseline"]
)
def test_output_lengths_are_those_of_the_frames(model, height):
    widths = [*range(model.stride, 130, model.stride), 256] if height == 16 else [8, 32, 64, 104, 160, 256]
    for width in widths:
        with torch.inference_mode():
            log_probs, input_lengths, _ = model.eval()(torch.zeros(1, 1, height, width), torch.tensor([width]))
        assert [len(log_probs)] == input_lengths.tolist() == model.output_lengths(torch.tensor([width])).tolist(), width


def test_widths_between_two_strides_lose_the_rest():
    assert CRNN(5, width=8, hidden=3).output_lengths(torch.tensor([32, 33, 35, 36, 255])).tolist() == [8, 8, 8, 9, 63]
    assert baseline(5).output_lengths(torch.tensor([255, 256])).tolist() == [31, 32]


def test_probabilities_add_up_to_one_with_the_shortcut_too():
    output = CRNN(9, width=8, hidden=6)(torch.rand(3, 1, 16, 64), torch.tensor([64, 40, 32]))
    assert output.input_lengths.tolist() == [16, 10, 8]
    for log_probs in (output.log_probs, output.shortcut):
        assert log_probs.shape == (16, 3, 9) and log_probs.dtype == torch.float32
        torch.testing.assert_close(log_probs.exp().sum(-1), torch.ones(16, 3))


def test_only_training_computes_the_shortcut_and_the_baseline_has_none():
    images, widths = torch.rand(1, 1, 64, 64), torch.tensor([64])
    assert CRNN(9, width=8, hidden=6).eval()(images, widths).shortcut is None
    assert baseline(9).train()(images, widths).shortcut is None


@pytest.mark.parametrize(
    "arguments, said",
    [
        (dict(architecture="resnet"), "no architecture is called 'resnet'; there are: residual, baseline"),
        (dict(units=9), "'residual' has no units; its sizes are: width, depth, hidden, layers, dropout"),
        (dict(architecture="baseline", width=8), "'baseline' has no width; its sizes are: fixed"),
    ],
)
def test_unknown_architectures_and_sizes_are_rejected(arguments, said):
    with pytest.raises(ValueError, match=said):
        CRNN(9, **arguments)


def test_a_third_architecture_is_one_function_more(monkeypatch):
    def tiny(num_classes: int, *, hidden: int = 4) -> Parts:
        cnn = nn.Sequential(nn.MaxPool2d(8), nn.Flatten(1, 2))
        return Parts(cnn, BiLSTM(2, hidden), nn.Linear(2 * hidden, num_classes), None)

    monkeypatch.setitem(ARCHITECTURES, "tiny", (tiny, 8))
    model = CRNN(5, architecture="tiny").eval()
    assert model.arguments == {"num_classes": 5, "architecture": "tiny", "hidden": 4}
    assert model(torch.rand(1, 1, 16, 64), torch.tensor([64])).log_probs.shape == (8, 1, 5)


def test_uint8_ink_is_the_same_as_its_fraction():
    model, ink = CRNN(9, width=8, hidden=6).eval(), torch.randint(0, 256, (2, 1, 16, 64), dtype=torch.uint8)
    widths = torch.tensor([64, 50])
    with torch.inference_mode():
        torch.testing.assert_close(model(ink, widths).log_probs, model(ink.float() / 255, widths).log_probs)


# Lines side by side --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_bilstm_equals_pytorch_with_packing(layers):
    torch.manual_seed(0)
    ours, theirs = BiLSTM(5, 7, num_layers=layers), nn.LSTM(5, 7, num_layers=layers, bidirectional=True)
    for layer in range(layers):
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            for direction, suffix in ((ours.forwards, ""), (ours.backwards, "_reverse")):
                getattr(theirs, f"{kind}_l{layer}{suffix}").data = getattr(direction[layer], f"{kind}_l0").data
    frames, lengths = torch.randn(11, 5, 5), torch.tensor([11, 1, 4, 10, 7])
    expected, _ = pad_packed_sequence(theirs(pack_padded_sequence(frames, lengths, enforce_sorted=False))[0])
    result = ours(frames, lengths)
    for n, length in enumerate(lengths):
        torch.testing.assert_close(result[:length, n], expected[:length, n])


def test_bilstm_does_not_see_the_padding():
    model, frames, lengths = BiLSTM(5, 7), torch.randn(9, 2, 5), torch.tensor([9, 4])
    changed = frames.clone()
    changed[4:, 1] = 100
    before, after = model(frames, lengths), model(changed, lengths)
    assert torch.equal(before[:, 0], after[:, 0]) and torch.equal(before[:4, 1], after[:4, 1])


@pytest.mark.parametrize(
    "model, height", [(CRNN(9, width=8, hidden=16), 16), (baseline(9), 64)], ids=["residual", "baseline"]
)
def test_a_line_reads_the_same_alone_and_beside_longer_ones(model, height):
    """Exactly so where paper follows its end; at the end of the batch, the convolutions' zeros are not quite paper."""
    model, widths = settled(model, height), torch.tensor([64, 256])
    lines = (torch.rand(2, 1, height, 256) > 0.9).float()
    lines[0, ..., 64:] = 0
    with torch.inference_mode():
        frames = int(model.output_lengths(widths)[0])
        beside = model(lines, widths).log_probs[:frames, 0]
        followed_by_paper, alone = (model(lines[:1, ..., :width], widths[:1]).log_probs[:frames, 0] for width in (128, 64))
    torch.testing.assert_close(beside, followed_by_paper, rtol=0, atol=1e-5)
    torch.testing.assert_close(beside, alone, rtol=0, atol=0.05)


def test_dropped_features_are_the_same_in_every_frame_of_a_sample():
    torch.manual_seed(0)
    dropout = FeatureDropout(0.25)
    dropped = dropout(torch.ones(6, 40, 50))
    assert torch.equal(dropped, dropped[:1].expand_as(dropped))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float(dropped.mean()) == pytest.approx(1, abs=0.05)
    assert dropout.eval()(dropped) is dropped and FeatureDropout(0.0)(dropped) is dropped


def test_dropout_acts_on_the_columns_between_the_layers_and_before_the_classifier():
    model, seen = CRNN(9, width=8, hidden=6, layers=3, dropout=0.2).train(), []
    for dropout in (model.dropout, model.rnn.dropout):
        dropout.register_forward_hook(
            lambda _, given, dropped: seen.append((given[0].shape[2], torch.equal(given[0], dropped)))
        )
    torch.manual_seed(0)
    model(torch.rand(4, 1, 16, 64), torch.full((4,), 64))
    assert seen == [(32, False), (12, False), (12, False), (12, False)]  # 4 * width features, then 2 * hidden


# Ours, layer by layer ------------------------------------------------------------------------------------------------


def test_residual_stage_by_stage():
    model, shapes = CRNN(96, width=16, depth=2).eval(), []
    for layer in model.cnn:
        layer.register_forward_hook(lambda _, given, y: shapes.append(tuple(y.shape)))
    with torch.inference_mode():
        model(torch.zeros(2, 1, 40, 256), torch.tensor([256, 256]))
    assert shapes == [(2, 16, 20, 128), (2, 16, 20, 128), (2, 32, 10, 64), (2, 64, 5, 64), (2, 64, 64)]


def test_a_column_is_its_strongest_response():
    features = torch.tensor([[[[1.0, -2.0], [3.0, -1.0]]]])  # (N, F, H, W)
    assert ColumnMax()(features).tolist() == [[[3.0, -1.0]]]


def test_further_blocks_of_a_stage_change_nothing_at_first():
    model = CRNN(9, width=8, depth=3).train()
    ink = torch.rand(2, 8, 6, 10)
    for block in (model.cnn.stage1[1], model.cnn.stage1[2]):
        assert torch.equal(block(ink), ink)
    assert not torch.equal(model.cnn.stage1[0](ink), ink)


def test_both_heads_start_with_the_blank_at_three_quarters():
    model = CRNN(96, width=8, hidden=6)
    for head in (model.classifier, model.shortcut):
        probabilities = head.bias.detach().softmax(0)
        assert float(probabilities[0]) == pytest.approx(0.75) and probabilities[1:].unique().numel() == 1
