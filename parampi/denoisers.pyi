# For type checkers; at run time `parampi.denoisers` is `parampi.diffusion.public_denoisers` itself.
from parampi.diffusion.public_denoisers import *
