"""nnrt.summary: shapes, counts and the table."""

import numpy as np
import pytest

import nnrt
from nnrt import nn


def rows(made):
    return {row.name: row for row in made.rows}


def test_counts_of_a_perceptron():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3, bias=False))
    made = nnrt.summary(model, (5, 4))
    by_name = rows(made)
    assert list(by_name) == ["", "0", "1", "2"]
    first = by_name["0"]
    assert (first.kind, first.parameters, first.bytes, first.macs) == ("Linear", 40, 160, 5 * 4 * 8)
    assert first.input_shapes == ((5, 4),) and first.output_shape == (5, 8) and first.calls == 1
    assert by_name[""].output_shape == (5, 3) and by_name[""].parameters == 0
    assert made.parameters == made.trainable == 40 + 24 and made.parameter_bytes == 4 * 64
    assert made.macs == 5 * (4 * 8 + 8 * 3)
    assert made.output_bytes == 4 * 5 * (8 + 8 + 3)
    assert str(made) == repr(made)
    lines = str(made).split("\n")
    assert lines[0].split() == ["Layer", "Output", "shape", "Parameters", "MACs", "Bytes"]
    assert lines[3].split() == ["0:", "Linear", "(5,", "8)", "40", "160", "160"]
    assert "Parameters: 64, 256 B" in str(made) and "MACs: 280" in str(made)
    assert max(map(len, lines)) < 80 and not any(line.endswith(" ") for line in lines)


def test_shared_modules_and_parameters_are_counted_once():
    shared = nn.Linear(3, 3)
    model = nn.Sequential(shared, shared, nn.Linear(3, 3))
    model[2].weight = shared.weight
    made = nnrt.summary(model, (3,))
    assert made.parameters == 12 + 3 and len(made.rows) == 3
    assert rows(made)["0"].calls == 2 and rows(made)["0"].macs == 18 and made.macs == 27
    assert "x 2" in str(made)
    frozen = shared.requires_grad_(False)
    assert nnrt.summary(frozen).trainable == 0 and "(12 of them frozen)" in str(nnrt.summary(frozen))


def test_without_an_input_nothing_runs():
    class Never(nn.Linear):
        def forward(self, x):
            raise AssertionError("ran")

    made = nnrt.summary(Never(2, 2))
    assert made.parameters == 6 and made.macs == 0 and "MACs:" not in str(made)
    assert "Never" in str(made)


def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.Linear(2, 2))
    model[2].eval()
    model[0].weight.grad = nnrt.ones(2, 2)
    nnrt.manual_seed(1)
    state = nnrt.get_rng_state().tolist()
    nnrt.summary(model, (1, 2))
    assert model.training and model[0].training and not model[2].training
    assert model[0].weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert nnrt.get_rng_state().tolist() == state
    assert not any(m._hooks.after for m in model.modules())
    with pytest.raises(RuntimeError, match="in_features"):
        nnrt.summary(model, (1, 5))
    assert model.training and not model[2].training and not any(m._hooks.after for m in model.modules())


def test_several_inputs_keywords_and_nested_outputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = nn.Bilinear(3, 4, 2)
            self.table = nn.Embedding(10, 3)
            self.unused = nn.Linear(1, 1)
            self.register_buffer("mean", nnrt.zeros(8))

        def forward(self, i, y, twice=False):
            z = self.mix(self.table(i), y)
            return {"z": z, "all": (z, [y])} if twice else z

    model = Two()
    made = nnrt.summary(model, (nnrt.tensor([1, 2]), nnrt.ones(2, 4)), twice=True)
    assert rows(made)[""].output_shape == {"z": (2, 2), "all": ((2, 2), ((2, 4),))}
    assert rows(made)["mix"].macs == 2 * 2 * (3 + 1) * 4 and rows(made)["table"].macs == 0
    assert rows(made)["unused"].calls == 0 and made.buffer_bytes == 32 and "Buffers: 32 B" in str(made)
    assert made.input_shapes == ((2,), (2, 4))
    bilinear = nnrt.summary(model.mix, [(5, 3), (5, 4)])
    assert bilinear.input_shapes == ((5, 3), (5, 4)) and bilinear.rows[0].output_shape == (5, 2)
    assert nnrt.summary(model.table, (7, 2), dtype=nnrt.int64).rows[0].output_shape == (7, 2, 3)


def test_macs_of_a_layer_of_ones_own():
    class Outer(nn.Module):
        def forward(self, a, b):
            return a[:, None] * b[None, :]

        def macs(self, input_shapes, output_shape):
            return int(np.prod(output_shape))

    made = nnrt.summary(Outer(), [(3,), (4,)])
    assert made.macs == 12 and made.rows[0].input_shapes == ((3,), (4,))


def test_lazy_layers_and_scalars():
    made = nnrt.summary(nn.Sequential(nn.LazyLinear(2), nn.Flatten(0)), (3, 5))
    assert made.parameters == 12 and made.macs == 30 and made.rows[2].output_shape == (6,)
    assert nnrt.summary(nn.ReLU(), ()).rows[0].output_shape == ()


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.a, self.b = nn.Conv2d(channels, channels, 3, padding=1), nn.Conv2d(channels, channels, (3, 1), padding=(1, 0))

    def forward(self, x):
        return nnrt.relu(x + self.b(nnrt.relu(self.a(x))))


def test_convolutions_and_their_receptive_field():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3), nn.ReLU(), Block(8), nn.ReflectionPad2d(1), nn.Conv2d(8, 16, 3, 2, groups=4),
        nn.Conv2d(16, 2, 3, dilation=2), nn.Flatten(), nn.LazyLinear(4),
    )  # fmt: skip
    made = nnrt.summary(model, (1, 3, 32, 32))
    fields = {name: row.receptive_field for name, row in rows(made).items()}
    assert fields == {
        "": None, "0": (7, 7), "1": (7, 7), "2": (15, 11), "2.a": (11, 11), "2.b": (15, 11), "3": (15, 11),
        "4": (19, 15), "5": (35, 31), "6": None, "7": None,
    }  # fmt: skip
    assert rows(made)["0"].macs == 8 * 16 * 16 * 3 * 49 and rows(made)["4"].macs == 16 * 8 * 8 * 2 * 9
    assert str(made).split("\n")[0].endswith("Bytes    Field") and "35 x 31" in str(made)
    assert nnrt.summary(nn.Conv2d(3, 8, 7, 2, 3), (3, 32, 32)).rows[0].receptive_field == (7, 7)
    shared = nn.Conv1d(2, 2, 3, padding=2, dilation=2)
    made = nnrt.summary(nn.Sequential(shared, shared), (1, 2, 20))
    assert made.rows[1].calls == 2 and made.rows[0].receptive_field == made.rows[1].receptive_field == (9,)


def test_a_receptive_field_is_what_the_gradient_sees():
    model = nn.Sequential(nn.Conv2d(1, 2, 3, 2), nn.Tanh(), Block(2), nn.Conv2d(2, 1, (2, 3), dilation=2)).double()
    with nnrt.no_grad():
        for p in model.parameters():
            p.abs_()  # so that no relu is off and every path of the gradient is open
    x = nnrt.ones(1, 1, 61, 61, dtype=nnrt.float64, requires_grad=True)
    y = model(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    seen = np.argwhere(x.grad[0, 0].numpy())
    assert tuple(np.ptp(seen, 0) + 1) == nnrt.summary(model, (1, 1, 61, 61), dtype=nnrt.float64).rows[0].receptive_field


def test_receptive_fields_of_pools():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.AvgPool2d(3, 1), nn.LPPool2d(2, (2, 3)), nn.Conv2d(2, 2, 3))
    made = nnrt.summary(model, (1, 1, 40, 40))
    assert [row.receptive_field for row in made.rows[1:]] == [(3, 3), (4, 4), (8, 8), (10, 12), (18, 24)]
    made = nnrt.summary(nn.Sequential(nn.MaxPool1d(3, 2, dilation=2), nn.AvgPool1d(2)), (1, 1, 40))
    assert [row.receptive_field for row in made.rows[1:]] == [(5,), (7,)]


def test_a_transposed_convolution():
    row = nnrt.summary(nn.ConvTranspose2d(3, 4, 3, 2), (1, 3, 8, 8)).rows[0]
    assert row.macs == 3 * 8 * 8 * 4 * 9 and row.receptive_field is None


@pytest.mark.parametrize(
    "input, text", [(3, "got int"), ("abc", "got str"), ([(1, 2), 3], "a shape or a list of shapes")]
)
def test_bad_inputs(input, text):
    with pytest.raises(TypeError, match=text):
        nnrt.summary(nn.ReLU(), input)
    with pytest.raises(TypeError, match="nn.Module"):
        nnrt.summary(lambda x: x)
