"""Tables of suspects."""

import pandas as pd

from hwrlib.audit import SUSPECT_COLUMNS


def table_of(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=SUSPECT_COLUMNS)
