# The same functions, compiled.
from .._ref.unary import *
