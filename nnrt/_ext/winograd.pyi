# The same functions, compiled.
from .._ref.winograd import *
