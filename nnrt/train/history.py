"""The record of a training: one dict per epoch, kept as a list and as CSV."""

import csv
import io

from ..io.atomic import write_text


class History:
    """Rows of numbers, one per epoch, all with the same columns or fewer.

    `history["val_loss"]` is a column (None where a row lacks it), `history.rows` the list of
    dicts, `len(history)` the number of epochs.
    """

    def __init__(self, rows=()):
        self.rows = [dict(row) for row in rows]

    def append(self, row):
        self.rows.append(dict(row))

    def columns(self):
        """Names of the columns in the order in which they first appeared."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __getitem__(self, column):
        if self.rows and column not in self.columns():
            raise KeyError(f"the history has no column {column!r}; it has {', '.join(self.columns())}")
        return [row.get(column) for row in self.rows]

    def __len__(self):
        return len(self.rows)

    def write_csv(self, path):
        """Replaces path by the rows as CSV with a header line; floats read back exactly."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns(), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(path, text.getvalue())
