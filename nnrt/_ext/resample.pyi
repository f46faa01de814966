# The same functions, compiled.
from .._ref.resample import *
