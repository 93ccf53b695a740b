"""`python -m energybench`: the `energybench` command."""

import sys

from energybench.app.cli import main

sys.exit(main())
