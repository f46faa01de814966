# The same functions, compiled.
from .._ref.optim import *
