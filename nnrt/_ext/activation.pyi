# The same functions, compiled.
from .._ref.activation import *
