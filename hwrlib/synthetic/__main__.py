"""``python -m hwrlib.synthetic``: see :func:`hwrlib.synthetic.dataset.main`."""

from hwrlib.synthetic.dataset import main

main()
