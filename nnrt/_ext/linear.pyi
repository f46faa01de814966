# The same functions, compiled.
from .._ref.linear import *
