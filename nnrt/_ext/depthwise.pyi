# The same functions, compiled.
from .._ref.depthwise import *
