"""Bad input: the error's kind and its words, and that nothing was done. Empty input: what it means."""

import inspect

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import data, nn, optim
from nnrt.ops.conv import fused

INT = np.int64


def ones(*shape, dtype=np.float32):
    return nnrt.ones(*shape, dtype=dtype)


def ints(*values):
    return nnrt.tensor(list(values), dtype=INT)


X = ones(4, 3)
IMAGE = ones(2, 3, 4, 5)
GRID = ones(2, 3, 3, 2)
PROJECTED = F.projected_attention

BAD = {
    # shapes
    "linear": (lambda: nn.Linear(5, 2)(X), RuntimeError, r"linear: input of shape \(4, 3\) must end in in_features = 5"),
    "bias": (lambda: F.linear(X, ones(2, 3), ones(3)), RuntimeError, r"linear: bias must have shape \(2,\).*got \(3,\)"),
    "matmul": (lambda: X @ X, RuntimeError, r"matmul: shapes \(4, 3\) and \(4, 3\) do not fit: 3 columns meet 4 rows"),
    "bmm": (lambda: nnrt.bmm(ones(2, 3, 4), ones(3, 4, 5)), RuntimeError, r"bmm: .*\(2, 3, 4\) and \(3, 4, 5\)"),
    "broadcast": (lambda: X + ones(5), RuntimeError, r"add: shapes \(4, 3\) and \(5,\) do not broadcast: sizes 3 and 5"),
    "cat": (lambda: nnrt.cat([X, ones(4, 2)]), RuntimeError, r"cat: .*\(4, 2\) does not fit .* \(4, 3\)"),
    "stack": (lambda: nnrt.stack([X, ones(3, 4)]), RuntimeError, r"stack: .*1\] has shape \(3, 4\), tensors\[0\] \(4, 3\)"),
    "view": (lambda: X.view(5, 3), RuntimeError, r"a tensor of shape \(4, 3\) has 12 elements, which do not fill \(5, 3\)"),
    "einsum": (lambda: nnrt.einsum("ij,jk->ik", X, X), RuntimeError, "einsum: axis 'j' of operand 1 has size 4, elsewhere 3"),
    "mse": (lambda: F.mse_loss(X, ones(4, 2)), RuntimeError, r"mse_loss: shapes \(4, 3\) of input and \(4, 2\) of target"),
    "bce": (lambda: F.binary_cross_entropy(X, ones(4)), ValueError, r"binary_cross_entropy: target .* \(4, 3\), got \(4,\)"),
    "classes": (lambda: F.cross_entropy(X, ints(0, 1, 2)), ValueError, r"cross_entropy: .* indices of shape \(4,\), got \(3,\)"),
    "setitem": (lambda: X.__setitem__(0, ones(5)), RuntimeError, r"setitem: .*shape \(5,\) into shape \(3,\)"),
    "cat of one": (lambda: nnrt.cat(X, X), TypeError, r"cat: tensors must be a list or tuple .* cat\(\(a, b\)\), got one"),
    "full": (lambda: nnrt.full((2,), "a"), TypeError, "full: fill_value must be a number, got 'a'"),
    "parameters of several": (lambda: optim.SGD(nn.Sequential(nn.Flatten()), 0.1), TypeError, "Sequential; pass its parameters"),
    "parameters": (lambda: optim.SGD(nn.Linear(3, 2), 0.1), TypeError, r"SGD: params must be .* got Linear; pass its parameters"),
    "data set": (lambda: data.DataLoader(5), TypeError, "DataLoader: dataset must have __getitem__ and __len__, .* got int"),
    "residual": (lambda: F.add_layer_norm(X, ones(4, 1), (3,)), RuntimeError, r"residual must be float32 \(4, 3\)"),
    "no residual": (lambda: F.add_rms_norm(X, None, (3,)), TypeError, "add_rms_norm: residual must be a Tensor"),
    "dim": (lambda: X.sum(2), IndexError, "sum: dim 2 is out of range for a tensor with 2 dimensions"),
    "rot90": (lambda: X.rot90(1, (0,)), RuntimeError, r"rot90: dims must be two axes, got \(0,\)"),
    "unique": (lambda: X[0, 0].unique_consecutive(dim=0), IndexError, "unique_consecutive: dim 0 is out of range for a 0-d"),
    "lr": (lambda: optim.SGD([X], lr="0.1"), TypeError, "SGD: lr must be a number, got '0.1'"),
    "betas": (lambda: optim.Adam([X], betas=0.9), TypeError, "Adam: betas must be two numbers, got 0.9"),
    # dtypes
    "linear dtype": (lambda: nn.Linear(3, 2)(X.double()), RuntimeError, "linear: .*one dtype, got input float64, weight float32"),
    "matmul dtype": (lambda: X @ ones(3, 2, dtype=np.float64), RuntimeError, "matmul: .*one dtype, got x float32, other float64"),
    "huber dtype": (lambda: F.huber_loss(X, X.double()), RuntimeError, "huber_loss: .*one dtype, got float32 and float64"),
    "mean": (lambda: X.long().mean(), RuntimeError, "mean: wants a floating tensor, got int64; pass dtype=nnrt.float32"),
    "classes dtype": (lambda: F.cross_entropy(X, ones(4)), RuntimeError, "cross_entropy: .*integer class indices, got float32"),
    "gather dtype": (lambda: nnrt.gather(X, 1, X), RuntimeError, "gather: index must be of an integer dtype, got float32"),
    "where": (lambda: nnrt.where(X, X, X), RuntimeError, "where: condition must be a bool tensor, got float32"),
    "complex": (lambda: nnrt.zeros(2, dtype=np.complex64), TypeError, "zeros: .*complex numbers are not supported"),
    "ignored": (lambda: F.cross_entropy(X, X, ignore_index=1), RuntimeError, "ignore_index=1 names a class; .* probabilities"),
    "half": (lambda: F.softmax(X.half(), 0), TypeError, "^softmax: wants float32 or float64, got float16"),
    "half loss": (lambda: F.mse_loss(X.half(), X.half()), TypeError, "^mse_loss: wants float32 or float64, got float16"),
    "half classes": (lambda: F.cross_entropy(X.half(), ints(0, 1, 2, 0)), TypeError, "^cross_entropy: wants float32"),
    "half chances": (lambda: F.cross_entropy(X.half(), X.half()), TypeError, "^cross_entropy: wants float32"),
    "half dropout": (lambda: F.dropout(X.half()), TypeError, "^dropout: wants float32 or float64, got float16"),
    "half grid": (lambda: F.grid_sample(IMAGE.half(), GRID.half()), TypeError, "^grid_sample: wants float32"),
    "half logsumexp": (lambda: X.half().logsumexp(0), TypeError, "^logsumexp: wants float32 or float64, got float16"),
    # devices
    "cuda": (lambda: X.to("cuda"), RuntimeError, "to: device 'cuda' is not available: nnrt computes on the CPU only"),
    "cuda:1": (lambda: nn.Linear(3, 2, device="cuda:1"), RuntimeError, "device 'cuda:1' is not available"),
    "device": (lambda: X.to("gpu"), RuntimeError, "to: 'gpu' is neither a dtype nor a device"),
    # positions
    "class": (lambda: F.cross_entropy(X, ints(0, 1, 2, 3)), IndexError, r"cross_entropy: target 3 at position \(3,\).*3 classes"),
    "class < 0": (lambda: F.nll_loss(X, ints(0, -1, 2, 2)), IndexError, r"nll_loss: target -1 at position \(1,\) is no class"),
    "margin": (lambda: F.multi_margin_loss(X, ints(0, 1, 2, 3)), IndexError, "multi_margin_loss: target 3 at position 3"),
    "embedding": (lambda: nn.Embedding(5, 2)(ints(1, 5)), IndexError, r"embedding: index 5 at position \(1,\) .* of size 5"),
    "bag": (lambda: F.embedding_bag(ints(1, 5), ones(5, 2), ints(0)), IndexError, r"embedding_bag: index 5 at position \(1,\)"),
    "gather": (lambda: nnrt.gather(X, 1, ints(3).reshape(1, 1)), IndexError, r"gather: index 3 at position \(0, 0\)"),
    "select": (lambda: nnrt.index_select(X, 0, ints(4)), IndexError, r"index_select: index 4 at position \(0,\) .* of size 4"),
    "take": (lambda: nnrt.take(X, ints(12)), IndexError, "take: index 12 at"),
    "scatter": (lambda: X.scatter(0, ints(5).reshape(1, 1), X), IndexError, r"scatter: index 5 at position \(0, 0\)"),
    "index_add": (lambda: X.index_add(0, ints(5), ones(1, 3)), IndexError, r"index_add: index 5 at position \(0,\)"),
    "take_along": (lambda: nnrt.take_along_dim(X, ints(5).reshape(1, 1), 1), IndexError, r"^take_along_dim: index 5 at position"),
    "getitem": (lambda: X[4], IndexError, r"getitem: index 4 is out of bounds .*\(a tensor of shape \(4, 3\)\)"),
    "getitem[]": (lambda: X[ints(0, 9)], IndexError, r"getitem: index 9 at position \(1,\) is out of range for dim 0 of size 4"),
    "mask": (lambda: X[nnrt.tensor([True, False])], IndexError, r"getitem: boolean index .* \(4, 3\)"),
    "one_hot": (lambda: F.one_hot(ints(0, 5), 3), RuntimeError, r"one_hot: index 5 at position \(1,\)"),
    # what is no tensor
    "list": (lambda: nn.Linear(3, 2)([1, 2, 3]), TypeError, "linear: input must be a Tensor, got list; nnrt.as_tensor"),
    "no bias": (lambda: F.linear(X, ones(2, 3), 3), TypeError, "^linear: bias must be a Tensor, got int"),
    "neither": (lambda: F.linear(None, None), TypeError, "^linear: input must be a Tensor, got None"),
    "attention": (lambda: PROJECTED(IMAGE[0], None, 1, X, [1.0], X, None), TypeError, "^projected_attention: in_bias must"),
    "addmm": (lambda: nnrt.addmm(X, X, X), RuntimeError, r"^addmm: shapes \(4, 3\) and \(4, 3\) do not fit: 3 columns"),
    "addmm list": (lambda: nnrt.addmm(X, [1.0], X), TypeError, "^addmm: .* must be a Tensor, got list"),
    "addmm input": (lambda: nnrt.addmm(ones(5, 4), X, X.T), RuntimeError, r"^addmm: shapes \(5, 4\) and \(4, 4\) do not"),
    "addmv": (lambda: nnrt.addmv(X.T, X, X[0]), RuntimeError, r"^addmv: input of shape \(3, 4\) does not broadcast to \(4,\)"),
    "addbmm": (lambda: nnrt.addbmm(X, X, X), RuntimeError, r"^addbmm: wants 3-dimensional arguments, got shape \(4, 3\)"),
    "baddbmm": (lambda: nnrt.baddbmm(X, X[None], X.T.double()[None]), RuntimeError, "^baddbmm: both .* got float32 and float64"),
    "lstm": (lambda: nnrt.lstm(X, None, None, 0, 1, 0, 0, 0, 0), TypeError, "^lstm: params must be a list of Tensors, got N"),
    "gru": (lambda: nnrt.gru(X, X, [X, 2], 0, 1, 0, 0, 0, 0), TypeError, "^gru: params must be a list of Tensors, got list"),
    "dropout": (lambda: F.dropout([1.0]), TypeError, "^dropout: input must be a Tensor, got list"),
    "dropout2d": (lambda: F.dropout2d(None), TypeError, "^dropout2d: input must be a Tensor, got None"),
    "gumbel_softmax": (lambda: F.gumbel_softmax([1.0]), TypeError, "^gumbel_softmax: logits must be a Tensor, got list"),
    "feature_dropout": (lambda: F.feature_dropout(ints(1)[None]), TypeError, "^feature_dropout: .* int64"),
    "cat number": (lambda: nnrt.cat(5), TypeError, "^cat: tensors must be a list or tuple of Tensors, got int"),
    "stack None": (lambda: nnrt.stack(None), TypeError, "^stack: tensors must be a list or tuple of Tensors, got NoneType"),
    "variance": (lambda: F.gaussian_nll_loss(X, X, "1"), TypeError, "^gaussian_nll_loss: var must be a Tensor or a number, got"),
    "bucketize": (lambda: nnrt.bucketize(X, 1.0), TypeError, "^bucketize: boundaries must be a Tensor, got float"),
    "array": (lambda: F.cross_entropy(X, np.zeros(4, INT)), TypeError, "cross_entropy: target must be a Tensor, got ndarray"),
    "loss": (lambda: F.mse_loss(X, [1.0]), TypeError, "mse_loss: target must be a Tensor, got list"),
    "bce list": (lambda: F.binary_cross_entropy([1.0], X), TypeError, "binary_cross_entropy: input must be a Tensor, got list"),
    "nll None": (lambda: F.nll_loss(X, None), TypeError, "nll_loss: .*must be a Tensor"),
    "softmax": (lambda: F.softmax([1.0], 0), TypeError, "softmax: input must be a Tensor, got list"),
    "layer list": (lambda: nn.BatchNorm2d(3)([1.0]), TypeError, "^BatchNorm2d: input must be a Tensor, got list"),
    "layer array": (lambda: nn.LSTM(3, 2)(np.ones((4, 1, 3))), TypeError, "^LSTM: input must be a Tensor, got ndarray"),
    "flatten list": (lambda: nn.Flatten()([1.0]), TypeError, "flatten: input must be a Tensor, got list"),
    "unflatten list": (lambda: nn.Unflatten(0, (1, 1))([1.0]), TypeError, "unflatten: input must be a Tensor, got list"),
    "lazy list": (lambda: nn.LazyConv2d(3, 2)([1.0]), TypeError, "^LazyConv2d: input must be a Tensor, got list"),
    "layer second": (lambda: nn.DotAttention()(X, [1.0]), TypeError, "^DotAttention: argument 2 must be a Tensor"),
    "loss second": (lambda: nn.CosineEmbeddingLoss()(X, [1.0], X), TypeError, "cosine_embedding_loss: input2 must be a Tensor"),
    # arguments
    "conv arguments": (lambda: nn.Conv2d(3, 8), TypeError, r"^Conv2d.__init__\(\) missing .* 'kernel_size'"),
    "pool arguments": (lambda: nn.MaxPool2d(), TypeError, r"^MaxPool2d.__init__\(\) missing .* 'kernel_size'"),
    "lazy arguments": (lambda: nn.LazyConv2d(3), TypeError, r"^LazyConv2d.__init__\(\) missing .* 'kernel_size'"),
    "call arguments": (lambda: nn.Conv2d(3, 8, 1)(), TypeError, r"^Conv2d.forward\(\) missing .* 'input'"),
    # padding
    "pad list": (lambda: F.pad([1.0], (1, 1)), TypeError, "pad: input must be a Tensor, got list"),
    "pad int": (lambda: F.pad(X, 1), TypeError, "pad: pad must be a tuple of ints, got 1"),
    "pad float": (lambda: F.pad(X, (1.5, 1)), TypeError, r"pad: pad must be a tuple of ints, got \(1.5, 1\)"),
    "pad odd": (lambda: F.pad(X, (1, 1, 1)), RuntimeError, r"pad: pad must hold two amounts .* shape \(4, 3\), got 3"),
    "pad long": (lambda: F.pad(X, (1,) * 6), RuntimeError, r"pad: pad must hold two amounts .* up to 2 axes.*, got 6"),
    "pad cut": (lambda: F.pad(X, (-2, -2)), RuntimeError, r"pad: \(-2, -2\) cuts more off dim 1 than .* shape \(4, 3\)"),
    "pad cut all": (lambda: F.pad(X, (-4, 5)), RuntimeError, r"pad: \(-4, 5\) cuts more off dim 1"),
    "pad huge": (lambda: F.pad(X, (2**62, 2**62)), RuntimeError, r"pad: the result's shape \(4, 9223.*is beyond what memory can"),
    "huge of nothing": (lambda: F.pad(ones(0, 3), (2**62, 0)), RuntimeError, r"pad: the result's shape \(0, 46.*is beyond"),
    "huge batch of none": (lambda: F.adaptive_avg_pool1d(ones(0, 1, 3), 2**62), RuntimeError, "adaptive_avg_pool1d: the result"),
    "one_hot float": (lambda: F.one_hot(ints(0, 5), 6.0), TypeError, "one_hot: num_classes must be an int, got 6.0"),
    "one_hot huge": (lambda: F.one_hot(ints(0, 5), 10**30), RuntimeError, r"one_hot: the result's shape \(2, 10.*is beyond"),
    "unfold huge": (lambda: F.unfold(IMAGE, 2, padding=2**62), RuntimeError, "unfold: the result's shape .* is beyond"),
    "grid huge": (lambda: F.affine_grid(ones(1, 2, 3), (1, 1, 2**63, 1)), RuntimeError, "affine_grid: .* is beyond"),
    "group float": (lambda: F.group_norm(IMAGE, 1.5), TypeError, "group_norm: num_groups must be an int, got 1.5"),
    "neighbours": (lambda: F.local_response_norm(IMAGE, "a"), TypeError, "local_response_norm: size must be an int, got 'a'"),
    "pad mode": (lambda: F.pad(X, (1, 1), "mirror"), NotImplementedError, "pad: mode must be .* got 'mirror'"),
    "pad value": (lambda: F.pad(X, (1, 1), "reflect", 1.0), RuntimeError, "pad: mode 'reflect' takes no value, got 1.0"),
    "pad no number": (lambda: F.pad(X, (1, 1), value="a"), TypeError, "pad: value must be a number, got str"),
    "pad uint8": (lambda: F.pad(ones(2, dtype=np.uint8), (1, 1), value=300), RuntimeError, "pad: value 300 does not fit uint8"),
    "pad axes": (lambda: F.pad(X, (1,) * 4, "reflect"), NotImplementedError, r"pad: mode 'reflect' pads .* 4 amounts .*\(4, 3\)"),
    "reflect": (lambda: F.pad(X, (3, 0), "reflect"), RuntimeError, r"'reflect' wants less than 3 rows, got \(3, 0\) along dim 1"),
    "circular": (lambda: F.pad(X, (0, 4), "circular"), RuntimeError, r"pad: \(0, 4\) along dim 1 .* round more than once"),
    "replicate": (lambda: F.pad(ones(2, 0), (1, 1), "replicate"), RuntimeError, r"pad: .* of shape \(2, 0\) leaves nothing"),
    # convolutions and blocks of images
    "unfold list": (lambda: F.unfold([1.0], 2), TypeError, "unfold: input must be a Tensor, got list"),
    "unfold rank": (lambda: F.unfold(X, 2), RuntimeError, r"unfold: input must be \[N, C, H, W\] .* got shape \(4, 3\)"),
    "unfold float": (lambda: F.unfold(IMAGE, 2.0), TypeError, "unfold: kernel_size must be an int or two ints, got 2.0"),
    "unfold three": (lambda: F.unfold(IMAGE, (2, 2, 2)), RuntimeError, r"kernel_size must be .* two ints .* got \(2, 2, 2\)"),
    "unfold stride": (lambda: F.unfold(IMAGE, 2, stride=0), RuntimeError, "unfold: stride must be .* at least 1, got 0"),
    "unfold large": (lambda: F.unfold(IMAGE, (5, 1)), RuntimeError, r"unfold: kernel_size \(5, 1\) .* image of size \(4, 5\)"),
    "fold list": (lambda: F.fold([1.0], 2, 1), TypeError, "fold: input must be a Tensor, got list"),
    "fold rank": (lambda: F.fold(ones(3), 2, 1), RuntimeError, r"fold: input must be .*, got shape \(3,\)"),
    "fold rows": (lambda: F.fold(X, 2, 3), RuntimeError, r"fold: kernel_size \(3, 3\) .* image of size \(2, 2\)"),
    "fold kernel": (lambda: F.fold(X, 4, 3, padding=2), RuntimeError, r"kernel_size \(3, 3\) does not divide the 4 rows"),
    "fold columns": (lambda: F.fold(X, 3, 2), RuntimeError, r"fold: output_size \(3, 3\) has 2 x 2 blocks, got 3 columns"),
    "fold size": (lambda: F.fold(X, (-3, 3), 2), RuntimeError, r"fold: output_size must be .* at least 1, got \(-3, 3\)"),
    "fold huge": (lambda: F.fold(ones(4, 1), 2**31, 2, stride=2**32), RuntimeError, "^fold: the result's shape .* is beyond"),
    "fused": (lambda: fused(IMAGE, ones(3, 3, 1, 1), activation="elu"), ValueError, "^fused: activation must be .* got 'elu'"),
    # shuffles
    "shuffle list": (lambda: F.pixel_shuffle([1.0], 2), TypeError, "pixel_shuffle: input must be a Tensor, got list"),
    "shuffle rank": (lambda: F.pixel_shuffle(X, 2), RuntimeError, r"at least 3 dimensions, got shape \(4, 3\)"),
    "shuffle zero": (lambda: F.pixel_shuffle(IMAGE, 0), RuntimeError, "upscale_factor must be at least 1, got 0"),
    "shuffle float": (lambda: F.pixel_shuffle(IMAGE, 2.0), TypeError, "upscale_factor must be an int, got 2.0"),
    "shuffle": (lambda: F.pixel_shuffle(IMAGE, 2), RuntimeError, "pixel_shuffle: channels must be a multiple of 2², got"),
    "unshuffle": (lambda: F.pixel_unshuffle(IMAGE, 2), RuntimeError, "height and width must be multiples of 2, got shape"),
    "groups": (lambda: F.channel_shuffle(IMAGE, 2), RuntimeError, r"channel_shuffle: groups 2 must divide the channels"),
    # normalisation
    "eps": (lambda: F.batch_norm(X, None, None, training=True, eps="a"), TypeError, "^batch_norm: eps must be a number, got 'a'"),
    "momentum": (lambda: F.batch_norm(X, X[0], X[0], momentum=None), TypeError, "^batch_norm: momentum must .*, got None"),
    "instance": (lambda: F.instance_norm(IMAGE, momentum="a"), TypeError, "^instance_norm: momentum must be a number, got 'a'"),
    "group eps": (lambda: F.group_norm(X, 1, eps=None), TypeError, "^group_norm: eps must be a number, got None"),
    "layer eps": (lambda: F.layer_norm(X, (3,), eps="a"), TypeError, "^layer_norm: eps must be a number, got 'a'"),
    "response": (lambda: F.local_response_norm(IMAGE, 2, k="a"), TypeError, "^local_response_norm: k must be a number, got 'a'"),
    # grids
    "grid list": (lambda: F.grid_sample(IMAGE, [1.0]), TypeError, "grid_sample: grid must be a Tensor, got list"),
    "grid rank": (lambda: F.grid_sample(IMAGE, X), RuntimeError, r"grid_sample: wants .* got shapes .* and \(4, 3\)"),
    "grid batch": (lambda: F.grid_sample(IMAGE, ones(1, 3, 3, 2)), RuntimeError, r"and \(1, 3, 3, 2\)"),
    "grid dtype": (lambda: F.grid_sample(IMAGE, GRID.double()), RuntimeError, "one floating dtype, got float32 and float64"),
    "grid mode": (lambda: F.grid_sample(IMAGE, GRID, "linear"), ValueError, "mode must be one of .*, got 'linear'"),
    "grid padding": (lambda: F.grid_sample(IMAGE, GRID, padding_mode="edge"), ValueError, "padding_mode must be .* got 'edge'"),
    "grid cubic": (lambda: F.grid_sample(ones(1, 1, 2, 2, 2), ones(1, 1, 1, 1, 3), "bicubic"), RuntimeError, "'bicubic' wants"),
    "grid empty": (lambda: F.grid_sample(ones(2, 3, 0, 5), GRID), RuntimeError, r"input must have pixels, got .*0, 5"),
    "affine list": (lambda: F.affine_grid([1.0], (1, 1, 2, 2)), TypeError, "affine_grid: theta must be a Tensor, got list"),
    "affine": (lambda: F.affine_grid(ones(2, 3), (1, 1, 2, 2)), ValueError, r"wants theta \(N, 2, 3\) .*shape \(2, 3\) for size"),
    "affine size": (lambda: F.affine_grid(ones(1, 2, 3), (1, 1, 0, 2)), ValueError, r"for size \(1, 1, 0, 2\)"),
    # other sizes
    "resize list": (lambda: F.interpolate([1.0], 2), TypeError, "interpolate: input must be a Tensor, got list"),
    "resize rank": (lambda: F.interpolate(X, 2), NotImplementedError, r"wants 3 to 5 dimensions, got shape \(4, 3\)"),
    "resize axes": (lambda: F.interpolate(IMAGE, 2, mode="linear"), NotImplementedError, "mode 'linear' wants 3 dimensions"),
    "resize mode": (lambda: F.interpolate(IMAGE, 2, mode="cubic"), NotImplementedError, "mode must be one of .* got 'cubic'"),
    "resize none": (lambda: F.interpolate(IMAGE), ValueError, "wants either size or scale_factor, got None and None"),
    "resize both": (lambda: F.interpolate(IMAGE, 2, 2.0), ValueError, "wants either size or scale_factor, got 2 and 2.0"),
    "resize corners": (lambda: F.interpolate(IMAGE, 2, align_corners=True), ValueError, "align_corners has no meaning in mode"),
    "resize recompute": (lambda: F.interpolate(IMAGE, 2, recompute_scale_factor=True), ValueError, "no meaning where size is"),
    "resize alias": (lambda: F.interpolate(IMAGE, 2, antialias=True), ValueError, "antialias has a meaning .* not in 'nearest'"),
    "resize three": (lambda: F.interpolate(IMAGE, (2, 2, 2)), ValueError, r"size \(2, 2, 2\) must be one number for each"),
    "resize float": (lambda: F.interpolate(IMAGE, 2.5), TypeError, "size must be an int or one for each axis"),
    "resize text": (lambda: F.interpolate(IMAGE, scale_factor="2"), TypeError, "scale_factor must be a number .* got '2'"),
    "resize zero": (lambda: F.interpolate(IMAGE, (0, 3)), RuntimeError, r"sizes must be at least 1, got \(0, 3\)"),
    "resize negative": (lambda: F.interpolate(IMAGE, scale_factor=-1), RuntimeError, r"sizes must be at least 1, got \(-4, -5\)"),
    "resize nan": (lambda: F.interpolate(IMAGE, scale_factor=float("nan")), RuntimeError, "scale_factor must be finite, got nan"),
    "resize ints": (lambda: F.interpolate(IMAGE.long(), 2, mode="bilinear"), RuntimeError, "'bilinear' wants a floating tensor"),
    "resize huge": (lambda: F.interpolate(IMAGE, (2**40, 2**40)), RuntimeError, "interpolate: the result's shape .* is beyond"),
    # gradients
    "ints": (lambda: nnrt.tensor([1], requires_grad=True), RuntimeError, "only floating tensors can require gradients.*int64"),
    "ints_": (lambda: ints(1).requires_grad_(), RuntimeError, "requires_grad_: only floating tensors .* int64"),
    "parameter": (lambda: nn.Parameter(ints(1)), RuntimeError, "only floating tensors .* int64"),
    "bools": (lambda: ones(2, dtype=np.bool_).requires_grad_(), RuntimeError, "only floating tensors .* bool"),
    # nothing to choose from
    "max": (lambda: ones(0).max(), RuntimeError, r"max: a tensor of shape \(0,\) has no element"),
    "argmax": (lambda: ones(0, 3).argmax(0), IndexError, r"argmax: dim 0 of shape \(0, 3\) is empty"),
    "ragged": (lambda: nnrt.tensor([[1, 2], [3]]), ValueError, "tensor: sequences of different lengths"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()
    assert (X.numpy() == 1).all()


def empty(*shape):
    return nnrt.zeros(*shape, requires_grad=True)


NAN = float("nan")
LOSSES = [
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "soft_margin_loss", "kl_div", "poisson_nll_loss", "hinge_embedding_loss", "multilabel_soft_margin_loss",
]  # fmt: skip


def nothing(name):
    """Losses of an empty batch by reduction."""
    x = empty(0, 3)
    if name in ("cross_entropy", "nll_loss", "multi_margin_loss"):
        return x, lambda reduction: getattr(F, name)(x, nnrt.zeros(0, dtype=INT), reduction=reduction)
    return x, lambda reduction: getattr(F, name)(x, nnrt.zeros(0, 3), reduction=reduction)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", [*LOSSES, "cross_entropy", "nll_loss", "multi_margin_loss"])
def test_losses_of_an_empty_batch(name):
    x, loss = nothing(name)
    assert np.isnan(loss("mean").item()) and loss("sum").item() == 0 and loss("none").numel() == 0
    for reduction in ("mean", "sum"):
        x.grad = None
        loss(reduction).backward()
        assert x.grad.shape == (0, 3)


EMPTY = {
    "softmax": (lambda: F.softmax(empty(0, 3), 1), (0, 3), None),
    "softmax of nothing": (lambda: F.softmax(empty(3, 0), 1), (3, 0), None),
    "relu": (lambda: F.relu(empty(0, 3)), (0, 3), None),
    "dropout": (lambda: F.dropout(empty(0, 3)), (0, 3), None),
    "flatten": (lambda: nn.Flatten()(empty(0, 3, 4)), (0, 12), None),
    "no rows": (lambda: empty(0, 3) @ ones(3, 2), (0, 2), None),
    "no products": (lambda: ones(2, 0) @ ones(0, 2), (2, 2), 0),
    "bmm": (lambda: nnrt.bmm(empty(0, 2, 3), empty(0, 3, 4)), (0, 2, 4), None),
    "sum": (lambda: empty(0, 3).sum(0), (3,), 0),
    "prod": (lambda: empty(0, 3).prod(0), (3,), 1),
    "mean": (lambda: empty(0, 3).mean(0), (3,), NAN),
    "var": (lambda: empty(0, 3).var(0), (3,), NAN),
    "logsumexp": (lambda: empty(0, 3).logsumexp(0), (3,), -np.inf),
    "any": (lambda: (empty(2, 0) > 0).any(1), (2,), False),
    "all": (lambda: (empty(2, 0) > 0).all(1), (2,), True),
    "amax": (lambda: empty(0, 3).amax(1), (0,), None),
    "cumsum": (lambda: empty(0, 3).cumsum(0), (0, 3), None),
    "sort": (lambda: empty(3, 0).sort().values, (3, 0), None),
    "topk": (lambda: empty(0, 3).topk(2).values, (0, 2), None),
    "embedding": (lambda: nn.Embedding(4, 2)(nnrt.zeros(0, dtype=INT)), (0, 2), None),
    "bags": (lambda: F.embedding_bag(nnrt.zeros(0, dtype=INT), ones(4, 2), ints(0, 0)), (2, 2), 0),
    "select": (lambda: X[nnrt.zeros(0, dtype=INT)], (0, 3), None),
    "mask": (lambda: X[X > 9], (0,), None),
    "cat": (lambda: nnrt.cat([empty(0, 3), X]), (4, 3), 1),
    "nonzero": (lambda: nnrt.nonzero(empty(0, 3)), (0, 2), None),
    "multinomial": (lambda: nnrt.multinomial(empty(0, 3).detach(), 2), (0, 2), None),
    "einsum": (lambda: nnrt.einsum("ij,jk->ik", empty(2, 0), empty(0, 3)), (2, 3), 0),
    "bilinear": (lambda: nn.Bilinear(2, 3, 4)(empty(0, 2), empty(0, 3)), (0, 4), None),
    "ignored": (lambda: F.cross_entropy(ones(2, 3), ints(-100, -100)), (), NAN),
    "attention": (lambda: nn.MultiheadAttention(4, 2)(*[empty(3, 0, 4)] * 3, need_weights=False)[0], (3, 0, 4), None),
    "encoder": (lambda: nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)(empty(0, 3, 4)), (0, 3, 4), None),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", EMPTY)
def test_empty_input(name):
    call, shape, value = EMPTY[name]
    y = call()
    assert y.shape == shape
    if value is not None:
        np.testing.assert_array_equal(y.detach().numpy(), np.full(shape, value))
    if y.requires_grad:
        y.sum().backward()


@pytest.mark.filterwarnings("error")
def test_an_empty_batch_trains_nothing():
    layer = nn.Linear(3, 2)
    x = empty(0, 3)
    layer(x).sum().backward()
    assert x.grad.shape == (0, 3) and not layer.weight.grad.any() and not layer.bias.grad.any()
    assert list(data.DataLoader(data.TensorDataset(nnrt.zeros(0, 3)), batch_size=2)) == []


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Adamax", "NAdam", "RAdam"])
def test_steps_take_parameters_without_elements(name):
    nothing, some = nn.Parameter(nnrt.zeros(0, 3)), nn.Parameter(ones(2))
    nothing.grad, some.grad = nnrt.zeros(0, 3), ones(2)
    getattr(optim, name)([nothing, some], lr=0.1).step()
    assert nothing.shape == (0, 3) and (some.detach().numpy() < 1).all()


@pytest.mark.parametrize("change", ["itself", "view", "detach", "data", "row"])
def test_a_change_of_what_the_tape_saved_is_noticed(change):
    x, w = ones(3, 2), nnrt.ones(3, 2, requires_grad=True)
    loss = (w * x).sum()
    of = {"itself": x, "view": x.view(6), "detach": x.detach(), "data": x.data, "row": x.T[0]}[change]
    of.mul_(2)
    with pytest.raises(RuntimeError, match="mul: saved argument .* was changed in place"):
        loss.backward()
    assert w.grad is None


_ARGUMENTS = {"index": lambda: nnrt.tensor([[0]]), "source": lambda: nnrt.ones(1, 2)}
_PUBLIC = {
    f"{place}.{name}": function
    for place, names in (("nnrt", nnrt), ("F", F))
    for name, function in vars(names).items()
    if not name.startswith("_") and getattr(function, "__module__", "").startswith("nnrt.ops") and inspect.isroutine(function)
}


@pytest.mark.parametrize("name", sorted(_PUBLIC))
def test_lists_in_the_place_of_tensors_are_refused_or_understood(name):
    """Nobody shall read "'list' object has no attribute"."""
    function = _PUBLIC[name]
    parameters = [
        p for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind == p.POSITIONAL_OR_KEYWORD
    ]  # fmt: skip
    whole = ("dim", "axis", "start", "length", "n", "k")
    rest = [_ARGUMENTS.get(p.name, lambda p=p: 0 if p.name.startswith(whole) else nnrt.ones(2, 2))() for p in parameters[1:]]
    try:
        function([[1.0, 2.0], [3.0, 4.0]], *rest)
    except AttributeError as error:
        pytest.fail(str(error))
    except (TypeError, ValueError, RuntimeError, IndexError, NotImplementedError) as error:
        assert str(error)
