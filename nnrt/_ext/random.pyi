# The same functions, compiled.
from .._ref.random import (
    bernoulli as bernoulli,
)
from .._ref.random import (
    dropout_backward as dropout_backward,
)
from .._ref.random import (
    dropout_forward as dropout_forward,
)
from .._ref.random import (
    integers as integers,
)
from .._ref.random import (
    normal as normal,
)
from .._ref.random import (
    permutation as permutation,
)
from .._ref.random import (
    uniform as uniform,
)
