"""``python -m hwrlib.sources``: see :func:`hwrlib.sources.prepare.main`."""

import sys

from hwrlib.sources.prepare import main

sys.exit(main())
