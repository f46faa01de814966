# The same functions, compiled.
from .._ref.index import *
