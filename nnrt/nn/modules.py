"""torch.nn.modules: the layers by the path that programs for torch name their base classes by."""

# ruff: noqa: F401, F403
from . import *
from . import norm as batchnorm
from . import norm as instancenorm
from . import norm as normalization
from . import shuffle as channelshuffle
from . import shuffle as pixelshuffle
