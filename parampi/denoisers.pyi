# For type checkers; at run time `parampi.denoisers` is `parampi.diffusion.denoisers` itself.
from parampi.diffusion.denoisers import *
