"""Parquet files of pandas, of which kedro-viz shows the first rows."""

from itertools import islice

import pyarrow.parquet as pq
from kedro_datasets._typing import TablePreview
from kedro_datasets.pandas import ParquetDataset as PandasParquetDataset

from clarilm_kedro.datasets.previews import absent_table, table_preview


class ParquetDataset(PandasParquetDataset):
    """``pandas.ParquetDataset`` whose preview reads the rows it shows and no more, and knows nested columns.

    Kedro's own preview loads the whole file and gives arrays, which cannot be written as JSON. The arguments are the
    same.
    """

    def preview(self, nrows: int = 5) -> TablePreview:
        """Show the first rows in kedro-viz, long texts cut.

        Args:
            nrows: How many; 0 names the columns alone.

        Returns:
            Index, columns and data, as ``DataFrame.to_dict("split")`` gives them.
        """
        if not self.exists():
            return absent_table()
        with self._fs.open(str(self._get_load_path()), "rb") as file:
            parquet = pq.ParquetFile(file)
            batch = next(parquet.iter_batches(batch_size=max(nrows, 1)), None)
            rows = [] if batch is None else list(islice(batch.to_pylist(), nrows))
            return table_preview(parquet.schema_arrow.names, [list(row.values()) for row in rows])
