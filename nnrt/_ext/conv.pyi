# The same functions, compiled.
from .._ref.conv import *
