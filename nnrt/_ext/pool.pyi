# The same functions, compiled.
from .._ref.pool import (
    avg_pool as avg_pool,
)
from .._ref.pool import (
    avg_pool_backward as avg_pool_backward,
)
from .._ref.pool import (
    max_index as max_index,
)
from .._ref.pool import (
    max_pool as max_pool,
)
from .._ref.pool import (
    max_pool_backward as max_pool_backward,
)
from .._ref.pool import (
    max_unpool as max_unpool,
)
