# The same functions, compiled.
from .._ref.compare import *
