# The same functions, compiled.
from .._ref.scan import *
