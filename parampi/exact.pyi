# For type checkers; at run time `parampi.exact` is `parampi.diffusion.exact` itself.
from parampi.diffusion.exact import *
