# The same functions, compiled.
from .._ref.elementwise import *
