# The same functions, compiled.
from .._ref.shape import *
