# The same functions, compiled.
from .._ref.reduce import *
