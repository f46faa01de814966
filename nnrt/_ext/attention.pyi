# The same functions, compiled.
from .._ref.attention import *
