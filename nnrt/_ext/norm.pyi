# The same functions, compiled.
from .._ref.norm import *
